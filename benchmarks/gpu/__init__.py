"""The measurements of `gpu.sh`. Each runs in a process of its own."""
