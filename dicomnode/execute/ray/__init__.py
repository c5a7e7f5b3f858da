"""The two ends of a Ray cluster: the process of the node that is connected to it, and the actor with the models."""
