"""One file a noun: parse the request, call one service, shape the answer."""
