"""`python -m service` is `fractune`."""

from service.cli import main

main()
