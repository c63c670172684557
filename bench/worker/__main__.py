"""The door by which a controller starts a measuring process; a gate starts the base's, an older one, by it too."""

from bench.worker.template import main

main()
