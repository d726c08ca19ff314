"""The agent: the programmable middlebox on the router (iProM). Read `app` first."""
