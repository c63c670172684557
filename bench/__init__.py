"""How it is measured: the only package that times."""
