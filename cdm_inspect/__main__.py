"""`python -m cdm_inspect`."""

from cdm_inspect.cli import main

main()
