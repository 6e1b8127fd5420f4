#!/usr/bin/python3
"""The program list under `vmsup run --mode fence`."""

import programs
from vmsuptest import ways

programs.suite(ways(modes=("fence",))).main()
