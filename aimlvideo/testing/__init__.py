"""For the tests of applications: the sandbox as a pytest fixture."""
