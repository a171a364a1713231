// How the operating system shares processors between this process and others.
#pragma once

namespace shoal {

// Makes this thread, and those and the processes that it starts from now on, take the processor in
// turn: one that wakes up waits until the running one sleeps (SCHED_BATCH, sched(7)). A message
// then crosses the threads of gRPC and the nodes of one machine in the order of its way, rather
// than each wake-up interrupting the thread that caused it; and people's own programs come first.
// Without effect where the system refuses.
void UseBatchScheduling();

}  // namespace shoal
