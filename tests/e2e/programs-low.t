#!/usr/bin/python3
"""The program list under `vmsup run`, audited, in a range below 2 GiB."""

import programs
from vmsuptest import ways

programs.suite(ways(ranges=("low",))).main()
