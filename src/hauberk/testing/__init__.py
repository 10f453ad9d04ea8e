"""Check suites, fakes and toy models, for our tests and for plug-in authors."""
