"""What the bars and the bench share: the relay and Postfix as processes, sinks, load, measuring. Standard library only."""
