"""The same cells of the sweep through ours and its peers, each in a process of its own.

python -m benchmarks.sweep            # or: make bench; make bench QUICK=1
"""
