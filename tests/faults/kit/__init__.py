"""What fault tests are made with: clusters, a faulty network, a judge of histories."""
