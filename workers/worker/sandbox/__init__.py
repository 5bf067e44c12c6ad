"""Runs one job in a child process that may do anything, and answers what became of it.

A model file is hostile input: it can crash the runtime, ask for terabytes or hang where Python cannot interrupt it. The
child is therefore a program of its own, with limits, without network where the platform allows, in a process group that is
killed when it is canceled, too slow or done.
"""

from workers.worker.sandbox.process import CHILD, Outcome, run_sandboxed

__all__ = ["CHILD", "Outcome", "run_sandboxed"]
