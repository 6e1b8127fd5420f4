#!/usr/bin/python3
"""The program list under `vmsup run`, audited, in a range above 4 GiB."""

import programs
from vmsuptest import ways

programs.suite(ways(ranges=("high",))).main()
