"""One verb a module: check, train, calibrate, evaluate, inspect and more."""
