"""The cluster's own certificate authority: make, issue, renew, load and inspect certificates."""
