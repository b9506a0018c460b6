# SPDX-License-Identifier: Apache-2.0
"""Reads what the test programs print: PASS or FAIL, a colon, and what was checked.

Unity would do, too; this needs no package of PlatformIO's registry.
"""

from platformio.test.result import TestCase, TestStatus
from platformio.test.runners.base import TestRunnerBase

STATUS = {"PASS": TestStatus.PASSED, "FAIL": TestStatus.FAILED}


class CustomTestRunner(TestRunnerBase):
    """One case for each line."""

    def on_testing_line_output(self, line):
        status, colon, told = line.strip().partition(": ")
        if colon and status in STATUS:
            case = TestCase(name=told, status=STATUS[status], stdout=line)
            self.test_suite.add_case(case)
            print(line.strip())
