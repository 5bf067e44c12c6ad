"""What the kernel keeps a process from: files, network, other processes, privileges.

Standard library only, and nothing of Fractune: `launch` runs in an interpreter without packages, in the moment between the
parent and the program that opens a hostile file.
"""
