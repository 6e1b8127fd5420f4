#!/usr/bin/python3
"""The program list with every placement carried out by a remote call."""

import programs
from vmsuptest import ways

some = ways(places=("remote",))
programs.suite([w for w in some if (w.user == "root") == (w.range == "low")] or some).main()
