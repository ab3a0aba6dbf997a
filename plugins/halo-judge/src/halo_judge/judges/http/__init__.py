"""The judge `http`: an endpoint that scores a completion."""
