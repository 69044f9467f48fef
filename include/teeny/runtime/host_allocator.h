// Where libtorch's tensors on the host live. The C library's heap keeps what tensors of changing sizes leave behind (a run
// over many blocks grows by a third) or gives every freed one back to the kernel, to be cleared page by page again.
#pragma once

namespace teeny {

// From now on tensors of 1 MB and more have pages of their own, large ones where the kernel has them; freed ones are
// kept for the next of their size, 256 MB at most. Once per process; further calls do nothing.
void use_host_allocator();

}  // namespace teeny
