"""Tests of the Dockerfile language; the test_conformance files hold it to BuildKit's own cases."""
