"""`python run.py FILE-OR-FOLDER ARGUMENTS...`: a program that Python starts without its site, with `sitecustomize`."""

import os
import runpy
import sys

sys.path.insert(0, os.path.dirname(os.path.abspath(__file__)))
import sitecustomize  # noqa: F401

del sys.argv[0]
sys.path[0] = sys.argv[0] if os.path.isdir(sys.argv[0]) else os.path.dirname(sys.argv[0])
runpy.run_path(sys.argv[0], run_name="__main__")
