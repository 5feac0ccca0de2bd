"""When to poll: duration laws, priors, and the policies that follow from them."""
