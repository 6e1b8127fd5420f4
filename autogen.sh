#!/bin/sh
# Make the configure script of a git checkout.
set -e
cd "$(dirname "$0")"
exec autoreconf -fi
