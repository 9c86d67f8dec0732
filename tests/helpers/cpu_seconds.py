"""A pytest plugin that prints the CPU seconds of a run, children included, and the files that cost most.

Wall-clock seconds depend on the load of the machine, CPU seconds hardly do. A child process counts for the test that
waits for it, so a server counts for the test that stops it.
"""

import resource
from collections import Counter

import pytest

_SHOWN_FILES = 10


def cpu_seconds(who: int | None = None) -> float:
    """Return CPU seconds, user and system time together.

    Args:
        who: Resource.RUSAGE_SELF, or RUSAGE_CHILDREN for the children that ended; both together when None.
    """
    usages = (resource.RUSAGE_SELF, resource.RUSAGE_CHILDREN) if who is None else (who,)
    return sum(usage.ru_utime + usage.ru_stime for usage in map(resource.getrusage, usages))


class CpuSeconds:
    """Plugin that measures each phase of each test in its process, and sums them by file in the main process."""

    def __init__(self) -> None:
        self._mark = cpu_seconds()
        self.by_file: Counter[str] = Counter()
        self.workers = 0.0

    @pytest.hookimpl(wrapper=True)
    def pytest_runtest_makereport(self, item: pytest.Item):
        report = yield
        now = cpu_seconds()
        report.user_properties.append(("cpu_seconds", now - self._mark))
        self._mark = now
        return report

    def pytest_runtest_logreport(self, report: pytest.TestReport) -> None:
        seconds = [value for name, value in report.user_properties if name == "cpu_seconds"]
        self.by_file[report.location[0]] += seconds[-1] if seconds else 0.0

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
