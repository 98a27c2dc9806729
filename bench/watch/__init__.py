"""What people who watch cost a collector, beside what agents cost it, and how soon they are told."""
