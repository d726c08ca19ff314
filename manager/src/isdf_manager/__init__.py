"""The services manager: catalogue, subscribers, signed feed per customer, push. Read `app` (HTTP) and `cli` first."""
