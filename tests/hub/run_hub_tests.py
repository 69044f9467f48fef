#!/usr/bin/env python3
"""Downloads from a hub that misbehaves (server.py, loopback only): the right file, or a clear error with its exit code,
and never a wrong file under a final name.

usage: TEENY=build/bin/teeny python3 tests/hub/run_hub_tests.py [-v] [TestClass.test]
"""
import pathlib
import sys
import unittest

sys.path.insert(0, str(pathlib.Path(__file__).parent))
from test_cache import Peer, WellBehaved  # noqa: E402, F401
from test_transfer import Connection, Content, Ranges  # noqa: E402, F401
from test_trust import Names, Redirects  # noqa: E402, F401

if __name__ == "__main__":
    unittest.main()
