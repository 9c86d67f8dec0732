"""A pytest plugin that prints the CPU seconds of a run, children included, and the files that cost most.

Wall-clock seconds depend on the load of the machine, CPU seconds hardly do. A child process counts for the test that
waits for it, so a server counts for the test that stops it. Fixtures of the whole session, such as the fork servers,
end after the last test, and have a line of their own.
"""

import resource
from collections import Counter

import pytest

_SHOWN_FILES = 10
# Stands among the files.
_SESSION = "(fixtures of the whole session, and the processes that they end)"


def cpu_seconds(who: int | None = None) -> float:
    """Return CPU seconds, user and system time together.

    Args:
        who: The process: resource.RUSAGE_SELF, or RUSAGE_CHILDREN for the children that ended; both together when None.
    """
    usages = (resource.RUSAGE_SELF, resource.RUSAGE_CHILDREN) if who is None else (who,)
    return sum(usage.ru_utime + usage.ru_stime for usage in map(resource.getrusage, usages))


class CpuSeconds:
    """Plugin that measures each phase of each test in its process, and sums them by file in the main process."""

    def __init__(self) -> None:
        self._mark = cpu_seconds()
        self.by_file: Counter[str] = Counter()
        self.workers = 0.0
        self._is_last_test = False

    @pytest.hookimpl(tryfirst=True)
    def pytest_runtest_teardown(self, item: pytest.Item, nextitem: pytest.Item | None) -> None:
        self._is_last_test = nextitem is None

    @pytest.hookimpl(wrapper=True)
    def pytest_runtest_makereport(self, item: pytest.Item):
        report = yield
        now = cpu_seconds()
        is_session = self._is_last_test and report.when == "teardown"
        report.user_properties.append((_SESSION if is_session else "cpu_seconds", now - self._mark))
        self._mark = now
        return report

    def pytest_runtest_logreport(self, report: pytest.TestReport) -> None:
        for name, seconds in report.user_properties[-1:]:
            self.by_file[_SESSION if name == _SESSION else report.location[0]] += seconds

    @pytest.hookimpl(optionalhook=True)
    def pytest_testnodedown(self, node) -> None:
        """Add the CPU seconds of a worker of pytest-xdist."""
        self.workers += getattr(node, "workeroutput", {}).get("cpu_seconds", 0.0)

    def pytest_sessionfinish(self, session: pytest.Session) -> None:
        if hasattr(session.config, "workeroutput"):
            session.config.workeroutput["cpu_seconds"] = cpu_seconds()

    def pytest_terminal_summary(self, terminalreporter) -> None:
        tests = sum(self.by_file.values())
        # A worker that was waited for is among the children, too.
        children = max(cpu_seconds(resource.RUSAGE_CHILDREN), self.workers)
        total = cpu_seconds(resource.RUSAGE_SELF) + children
        terminalreporter.write_line(f"CPU seconds: {total:.0f}, children included; {tests:.0f} of them in tests")
        for file, seconds in self.by_file.most_common(_SHOWN_FILES):
            terminalreporter.write_line(f"{seconds:8.1f}  {file}")


def pytest_configure(config: pytest.Config) -> None:
    config.pluginmanager.register(CpuSeconds(), "cpu-seconds")
