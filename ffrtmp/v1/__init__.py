"""Generated from protos/ffrtmp/v1 by scripts/gen_protos.py. Do not edit."""
