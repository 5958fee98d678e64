/*
 * The benchmark guest: the only program of its initrd, run as init. It measures what a guest's processes cost and
 * prints `bench NAME NANOSECONDS` for each, then powers the machine off. Under QEMU's instruction counting one
 * nanosecond is one instruction.
 */
#define _GNU_SOURCE
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/reboot.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>
#include <x86intrin.h>

#define PAGE 4096UL
#define MIB (1024UL * 1024)
/* Rounds of each measurement; the best one counts, as the others have other work of the kernel's in them. */
#define ROUNDS 5

static void die(const char *what) {
    perror(what);
    reboot(RB_POWER_OFF);
    for (;;) pause();
}

static uint64_t now(clockid_t clock) {
    struct timespec time;
    if (clock_gettime(clock, &time)) die("clock_gettime");
    return (uint64_t)time.tv_sec * 1000000000 + (uint64_t)time.tv_nsec;
}

static char *map(size_t size, int flags) {
    char *memory = mmap(NULL, size, PROT_READ | PROT_WRITE, MAP_ANONYMOUS | flags, -1, 0);
    if (memory == MAP_FAILED) die("mmap");
    return memory;
}

static void touch(volatile char *memory, size_t size, char value) {
    for (size_t at = 0; at < size; at += PAGE) memory[at] = value;
}

static pid_t forked(void) {
    pid_t child = fork();
    if (child < 0) die("fork");
    return child;
}

static void reap(pid_t child) {
    int status;
    if (waitpid(child, &status, 0) != child || status != 0) die("child");
}

/*
 * Each measurement does its operation `times` times and returns the nanoseconds of one. Two exist also in a form
 * confined to small pages: the kernel alone uses large ones where it can, which a PV guest has not got.
 */

static uint64_t null_system_call(unsigned times) {
    uint64_t start = now(CLOCK_MONOTONIC);
    for (unsigned i = 0; i < times; i++) syscall(SYS_getppid);
    return (now(CLOCK_MONOTONIC) - start) / times;
}

static uint64_t fork_exit(unsigned times) {
    uint64_t start = now(CLOCK_MONOTONIC);
    for (unsigned i = 0; i < times; i++) {
        pid_t child = forked();
        if (!child) _exit(0);
        reap(child);
    }
    return (now(CLOCK_MONOTONIC) - start) / times;
}

static uint64_t fork_exec(unsigned times) {
    uint64_t start = now(CLOCK_MONOTONIC);
    for (unsigned i = 0; i < times; i++) {
        pid_t child = forked();
        if (!child) {
            execl("/init", "init", "exit", NULL);
            _exit(1);
        }
        reap(child);
    }
    return (now(CLOCK_MONOTONIC) - start) / times;
}

/* One page of memory shared with the parent, written by the child: the first write to each page copies it. */
static uint64_t dirty_after_fork(unsigned times) {
    static uint64_t *result;
    size_t size = times * PAGE;
    char *memory = map(size, MAP_PRIVATE);
    touch(memory, size, 1);
    if (!result) result = (uint64_t *)map(PAGE, MAP_SHARED);
    pid_t child = forked();
    if (!child) {
        uint64_t start = now(CLOCK_MONOTONIC);
        touch(memory, size, 2);
        *result = now(CLOCK_MONOTONIC) - start;
        _exit(0);
    }
    reap(child);
    munmap(memory, size);
    return *result / times;
}

static uint64_t map_touch_unmap(unsigned times, int advice) {
    uint64_t start = now(CLOCK_MONOTONIC);
    for (unsigned i = 0; i < times; i++) {
        char *memory = map(4 * MIB, MAP_PRIVATE);
        if (madvise(memory, 4 * MIB, advice)) die("madvise");
        touch(memory, 4 * MIB, 1);
        munmap(memory, 4 * MIB);
    }
    return (now(CLOCK_MONOTONIC) - start) / times;
}

static uint64_t map_touch_unmap_4mib(unsigned times) {
    return map_touch_unmap(times, MADV_NORMAL);
}

static uint64_t map_touch_unmap_4mib_small(unsigned times) {
    return map_touch_unmap(times, MADV_NOHUGEPAGE);
}

static uint64_t mprotect_2mib(unsigned times) {
    char *memory = map(2 * MIB, MAP_PRIVATE);
    touch(memory, 2 * MIB, 1);
    uint64_t start = now(CLOCK_MONOTONIC);
    for (unsigned i = 0; i < times; i++) {
        if (mprotect(memory, 2 * MIB, PROT_READ)) die("mprotect");
        if (mprotect(memory, 2 * MIB, PROT_READ | PROT_WRITE)) die("mprotect");
    }
    uint64_t took = now(CLOCK_MONOTONIC) - start;
    munmap(memory, 2 * MIB);
    return took / times;
}

static uint64_t first_touch(unsigned times, int advice) {
    size_t size = times * PAGE;
    char *memory = map(size, MAP_PRIVATE);
    if (madvise(memory, size, advice)) die("madvise");
    uint64_t start = now(CLOCK_MONOTONIC);
    touch(memory, size, 1);
    uint64_t took = now(CLOCK_MONOTONIC) - start;
    munmap(memory, size);
    return took / times;
}

static uint64_t fresh_page_fault(unsigned times) {
    return first_touch(times, MADV_NORMAL);
}

static uint64_t fresh_page_fault_small(unsigned times) {
    return first_touch(times, MADV_NOHUGEPAGE);
}

static uint64_t pipe_round_trip(unsigned times) {
    int there[2], back[2];
    char byte = 0;
    if (pipe(there) || pipe(back)) die("pipe");
    pid_t child = forked();
    if (!child) {
        for (unsigned i = 0; i < times; i++) {
            if (read(there[0], &byte, 1) != 1 || write(back[1], &byte, 1) != 1) _exit(1);
        }
        _exit(0);
    }
    uint64_t start = now(CLOCK_MONOTONIC);
    for (unsigned i = 0; i < times; i++) {
        if (write(there[1], &byte, 1) != 1 || read(back[0], &byte, 1) != 1) die("pipe");
    }
    uint64_t took = now(CLOCK_MONOTONIC) - start;
    reap(child);
    for (int i = 0; i < 2; i++) {
        close(there[i]);
        close(back[i]);
    }
    return took / times;
}

static const struct {
    const char *name;
    uint64_t (*measure)(unsigned times);
    unsigned times;
} BENCHES[] = {
    {"null-system-call", null_system_call, 5000},
    {"fork-exit", fork_exit, 50},
    {"fork-exec", fork_exec, 30},
    {"dirty-after-fork", dirty_after_fork, 1024},
    {"map-touch-unmap-4mib", map_touch_unmap_4mib, 10},
    {"map-touch-unmap-4mib-small", map_touch_unmap_4mib_small, 10},
    {"mprotect-2mib", mprotect_2mib, 30},
    {"fresh-page-fault", fresh_page_fault, 2048},
    {"fresh-page-fault-small", fresh_page_fault_small, 2048},
    {"pipe-round-trip", pipe_round_trip, 1000},
};

int main(int argc, char **argv) {
    uint64_t since_power_on = __rdtsc();
    uint64_t since_kernel_start = now(CLOCK_BOOTTIME);
    if (argc > 1 && !strcmp(argv[1], "exit")) return 0;
    setvbuf(stdout, NULL, _IOLBF, 0);
    printf("bench kernel-start-to-init %llu\n", (unsigned long long)since_kernel_start);
    printf("bench power-on-to-init %llu\n", (unsigned long long)since_power_on);
    for (size_t i = 0; i < sizeof BENCHES / sizeof *BENCHES; i++) {
        uint64_t best = UINT64_MAX;
        for (unsigned round = 0; round < ROUNDS; round++) {
            uint64_t took = BENCHES[i].measure(BENCHES[i].times);
            if (took < best) best = took;
        }
        printf("bench %s %llu\n", BENCHES[i].name, (unsigned long long)best);
    }
    puts("bench done");
    reboot(RB_POWER_OFF);
    return 0;
}
