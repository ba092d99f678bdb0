"""What people may do: a module a noun, a function a verb. Permission is checked here, once, and nowhere else.

An operation takes a `Context` (who, from where, with what) and writes *desired* state, the operation's own record and
an event, in one transaction. It never waits for the reconciler, starts nothing and stops nothing.
"""
