"""The demo: a clip that is made, spoilt, restored and measured."""
