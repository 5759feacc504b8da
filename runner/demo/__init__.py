"""The demo: a clip that is drawn, spoilt, restored and measured."""

from runner.demo.run import DemoResult, run_demo

__all__ = ["DemoResult", "run_demo"]
