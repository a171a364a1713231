// How many files and sockets this process may have open.
#pragma once

namespace shoal {

// As many as the system lets it, instead of the 1024 that programs start with for the sake of
// select(2): gRPC's listener ends for good when it finds no descriptor for a connection, so anybody
// who opens a thousand would take a node off the network. Without effect where the system refuses.
void UseAllFileDescriptors();

}  // namespace shoal
