// Facts: seccomp(2), linux/seccomp.h, linux/audit.h. A filter reads seccomp_data: nr at 0, arch at 4, arguments from 16.
#include "judge/seccomp.h"

#include <fcntl.h>
#include <linux/audit.h>
#include <linux/seccomp.h>
#include <sched.h>
#include <sys/mman.h>
#include <sys/syscall.h>

#include <cerrno>
#include <cstddef>

namespace teeny::judge {
namespace {

#if defined(__x86_64__)
constexpr uint32_t kArch = AUDIT_ARCH_X86_64;
#elif defined(__aarch64__)
constexpr uint32_t kArch = AUDIT_ARCH_AARCH64;
#else
#error "the judge's system call filter knows x86_64 and aarch64 only"
#endif
constexpr uint32_t kX32Bit = 0x40000000;
constexpr uint32_t kTiocsti = 0x5412, kTioclinux = 0x541C, kFiosetown = 0x8901, kSiocspgrp = 0x8902;
constexpr uint32_t kNamespaceFlags = CLONE_NEWUSER | CLONE_NEWNS | CLONE_NEWPID | CLONE_NEWNET | CLONE_NEWIPC | CLONE_NEWUTS | CLONE_NEWCGROUP;
constexpr uint32_t argument_low(int i) { return uint32_t(offsetof(seccomp_data, args)) + 8u * uint32_t(i); }  // little-endian

// Calls that no program of a problem set needs and that reach the kernel's rarer parts or other processes.
const int kDenied[] = {
    SYS_ptrace, SYS_process_vm_readv, SYS_process_vm_writev, SYS_mount, SYS_umount2, SYS_pivot_root, SYS_chroot, SYS_unshare,
    SYS_setns, SYS_keyctl, SYS_add_key, SYS_request_key, SYS_bpf, SYS_perf_event_open, SYS_io_uring_setup, SYS_io_uring_enter,
    SYS_io_uring_register, SYS_userfaultfd, SYS_kexec_load, SYS_kexec_file_load, SYS_init_module, SYS_finit_module,
    SYS_delete_module, SYS_reboot, SYS_swapon, SYS_swapoff, SYS_acct, SYS_quotactl, SYS_syslog, SYS_settimeofday,
    SYS_clock_settime, SYS_adjtimex, SYS_clock_adjtime, SYS_sethostname, SYS_setdomainname, SYS_vhangup, SYS_personality,
    SYS_open_by_handle_at, SYS_name_to_handle_at, SYS_fanotify_init, SYS_kcmp, SYS_pidfd_getfd, SYS_pidfd_open, SYS_mbind,
    SYS_set_mempolicy, SYS_migrate_pages, SYS_move_pages, SYS_move_mount, SYS_open_tree, SYS_fsopen, SYS_fsconfig, SYS_fsmount,
    SYS_fspick, SYS_socket, SYS_memfd_secret, SYS_lookup_dcookie, SYS_nfsservctl,
    // Memory that no process has to hold: it would not be counted, and System V's outlives the program.
    SYS_memfd_create, SYS_shmget, SYS_msgget, SYS_semget, SYS_mq_open,
#if defined(__x86_64__)
    SYS_iopl, SYS_ioperm, SYS_modify_ldt, SYS_uselib, SYS_ustat, SYS_sysfs, SYS__sysctl, SYS_create_module,
#endif
};

class Builder {
 public:
  void load(uint32_t offset) { add(BPF_LD | BPF_W | BPF_ABS, 0, 0, offset); }
  void deny(uint32_t error) { add(BPF_RET | BPF_K, 0, 0, SECCOMP_RET_ERRNO | error); }
  void allow() { add(BPF_RET | BPF_K, 0, 0, SECCOMP_RET_ALLOW); }
  void skip_unless_equal(uint32_t value, uint8_t n) { add(BPF_JMP | BPF_JEQ | BPF_K, 0, n, value); }
  void skip_if_equal(uint32_t value, uint8_t n) { add(BPF_JMP | BPF_JEQ | BPF_K, n, 0, value); }
  void skip_unless_any_bit(uint32_t mask, uint8_t n) { add(BPF_JMP | BPF_JSET | BPF_K, 0, n, mask); }
  void skip_if_any_bit(uint32_t mask, uint8_t n) { add(BPF_JMP | BPF_JSET | BPF_K, n, 0, mask); }
  void deny_call(int number, uint32_t error) {
    skip_unless_equal(uint32_t(number), 1);
    deny(error);
  }
  // Allows the call for one process id only: the caller's own, patched in later, or 0.
  void one_pid_only(int number, bool own) {
    skip_unless_equal(uint32_t(number), 4);
    load(argument_low(0));
    if (own) filter.pid_slots.push_back(filter.code.size());
    skip_unless_equal(0, 1);
    allow();
    deny(EPERM);
  }
  SeccompFilter filter;

 private:
  void add(int code, uint8_t jt, uint8_t jf, uint32_t k) { filter.code.push_back({uint16_t(code), jt, jf, k}); }
};

void add_clone_rules(Builder& b, bool strict) {
  b.deny_call(SYS_clone3, ENOSYS);  // its flags are behind a pointer; libc falls back to clone
  b.skip_unless_equal(SYS_clone, strict ? 6 : 4);
  b.load(argument_low(0));
  b.skip_unless_any_bit(kNamespaceFlags, 1);
  b.deny(EPERM);
  if (strict) {
    b.skip_if_any_bit(CLONE_THREAD, 1);
    b.deny(EPERM);
  }
  b.allow();
}

// No memory shared with nobody knows whom: its pages stay, uncounted, when most of a mapping is unmapped. Reading a file so is
// what the JVM does with its library.
void add_mapping_rules(Builder& b) {
  b.skip_unless_equal(SYS_mmap, 7);
  b.load(argument_low(3));
  b.skip_unless_any_bit(MAP_SHARED, 4);
  b.skip_if_any_bit(MAP_ANONYMOUS, 2);
  b.load(argument_low(2));
  b.skip_unless_any_bit(PROT_WRITE, 1);
  b.deny(EPERM);
  b.allow();
}

void add_strict_rules(Builder& b) {
  // Signals, and what else one process can do to others of its user: priorities, processors.
  for (int number : {SYS_setsid, SYS_setpgid, SYS_rt_sigqueueinfo, SYS_rt_tgsigqueueinfo, SYS_tkill, SYS_pidfd_send_signal, SYS_setpriority, SYS_ioprio_set,
                     SYS_sched_setaffinity, SYS_sched_setscheduler, SYS_sched_setparam, SYS_sched_setattr})
    b.deny_call(number, EPERM);
  b.skip_unless_equal(SYS_fcntl, 6);  // SIGIO to a process of one's choice
  b.load(argument_low(1));
  b.skip_if_equal(F_SETOWN, 2);
  b.skip_if_equal(F_SETOWN_EX, 1);
  b.skip_unless_equal(F_SETSIG, 1);
  b.deny(EPERM);
  b.allow();
#if defined(__x86_64__)
  b.deny_call(SYS_fork, EPERM);
  b.deny_call(SYS_vfork, EPERM);
#endif
  b.one_pid_only(SYS_kill, true);
  b.one_pid_only(SYS_tgkill, true);
  b.one_pid_only(SYS_prlimit64, false);  // 0: the caller
}

}  // namespace

SeccompFilter make_filter(bool strict) {
  Builder b;
  b.load(offsetof(seccomp_data, arch));
  b.skip_if_equal(kArch, 1);
  b.deny(EPERM);
  b.load(offsetof(seccomp_data, nr));
#if defined(__x86_64__)
  b.skip_unless_any_bit(kX32Bit, 1);
  b.deny(EPERM);
#endif
  for (int number : kDenied) b.deny_call(number, EPERM);
  b.skip_unless_equal(SYS_ioctl, 7);
  b.load(argument_low(1));
  b.skip_if_equal(kTiocsti, 3);
  b.skip_if_equal(kFiosetown, 2);
  b.skip_if_equal(kSiocspgrp, 1);
  b.skip_unless_equal(kTioclinux, 1);
  b.deny(EPERM);
  b.allow();
  add_mapping_rules(b);
  if (strict) add_strict_rules(b);
  add_clone_rules(b, strict);
  b.allow();
  return b.filter;
}

}  // namespace teeny::judge
