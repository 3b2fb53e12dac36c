"""What tests need around them: engines, a registry, stand-in images. No test lives here."""
