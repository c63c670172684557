"""What runs tasks on nodes: this machine, Ray, Slurm."""
