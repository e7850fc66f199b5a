"""What a process has resident, from samples that were made up and from this process itself."""

import os
import subprocess
import sys
import unittest

from ..engine_process import Memory, parse_resident, resident, watch_memory

STATUS = "Name:\tminilm: x\nVmPeak:\t  99 kB\nVmHWM:\t     40 kB\nVmRSS:\t     30 kB\n"


class Resident(unittest.TestCase):
    def test_kilobytes_are_1024_bytes(self) -> None:
        self.assertEqual(parse_resident(STATUS), Memory(serving=30 * 1024, peak=40 * 1024))

    def test_a_process_without_memory_has_none(self) -> None:
        self.assertIsNone(parse_resident("Name:\tzombie\nState:\tZ (zombie)\n"))

    def test_loading_counts_for_the_peak_alone(self) -> None:
        samples = [Memory(n, peak) for n, peak in [(1, 1), (90, 90), (90, 95), (30, 95), (31, 95), (32, 95)]]
        self.assertEqual(Memory.of_samples(samples), Memory(serving=31, peak=95))

    def test_one_sample_is_enough(self) -> None:
        self.assertEqual(Memory.of_samples([Memory(3, 4)]), Memory(3, 4))

    @unittest.skipUnless(sys.platform == "linux", "/proc is Linux's")
    def test_this_process_and_a_child(self) -> None:
        found = resident(os.getpid())
        assert found is not None
        self.assertGreater(found.serving, 1 << 20)
        self.assertGreaterEqual(found.peak, found.serving)
        # 64 MiB that are touched and then given back, and a third of a second without them.
        program = "import time; x = bytearray(b'1' * (64 << 20)); del x; time.sleep(0.3)"
        with subprocess.Popen([sys.executable, "-c", program], text=True) as child:
            watched = watch_memory(child)
        self.assertGreater(watched.peak, 64 << 20)
        self.assertLess(watched.serving, 64 << 20)
