/*
 * Exercises of what a guest's processes do: `exercise` runs all, `exercise NAME...` some. Each runs in a process of
 * its own and prints `ok NAME` or `not ok NAME`; the exit status is zero when all were ok.
 */
#define _GNU_SOURCE
#include <asm/ldt.h>
#include <errno.h>
#include <fcntl.h>
#include <pthread.h>
#include <sched.h>
#include <setjmp.h>
#include <signal.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/io.h>
#include <sys/mman.h>
#include <sys/ptrace.h>
#include <sys/syscall.h>
#include <sys/time.h>
#include <sys/user.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#define PAGE 4096UL
#define MIB (1024UL * 1024)

/* Ends the exercise as failed, saying where. */
#define REQUIRE(condition)                                                        \
    do {                                                                          \
        if (!(condition)) {                                                       \
            printf("line %d: %s (errno %d)\n", __LINE__, #condition, errno);     \
            exit(1);                                                              \
        }                                                                         \
    } while (0)

static char *map(size_t size, int flags) {
    char *memory = mmap(NULL, size, PROT_READ | PROT_WRITE, MAP_ANONYMOUS | flags, -1, 0);
    REQUIRE(memory != MAP_FAILED);
    return memory;
}

/* Fills memory so that each page differs, and tells whether it still is so. */
static void fill(char *memory, size_t size, unsigned seed) {
    for (size_t at = 0; at < size; at += sizeof(uint64_t)) *(uint64_t *)(memory + at) = at * 2654435761u + seed;
}

static int is_filled(const char *memory, size_t size, unsigned seed) {
    for (size_t at = 0; at < size; at += sizeof(uint64_t)) {
        if (*(const uint64_t *)(memory + at) != at * 2654435761u + seed) return 0;
    }
    return 1;
}

static void reap(pid_t child) {
    int status;
    REQUIRE(waitpid(child, &status, 0) == child);
    REQUIRE(status == 0);
}

static uint64_t now(void) {
    struct timespec time;
    REQUIRE(clock_gettime(CLOCK_MONOTONIC, &time) == 0);
    return (uint64_t)time.tv_sec * 1000000000 + (uint64_t)time.tv_nsec;
}

/* --- processes and memory --- */

static void fork_tree(void) {
    for (int i = 0; i < 20; i++) {
        pid_t child = fork();
        REQUIRE(child >= 0);
        if (!child) {
            for (int j = 0; j < 3; j++) {
                pid_t grandchild = fork();
                REQUIRE(grandchild >= 0);
                if (!grandchild) _exit(0);
                reap(grandchild);
            }
            _exit(0);
        }
        reap(child);
    }
}

static void many_at_once(void) {
    pid_t children[100];
    for (int i = 0; i < 100; i++) {
        children[i] = fork();
        REQUIRE(children[i] >= 0);
        if (!children[i]) {
            char *memory = map(256 * 1024, MAP_PRIVATE);
            fill(memory, 256 * 1024, (unsigned)i);
            usleep(1000);
            _exit(!is_filled(memory, 256 * 1024, (unsigned)i));
        }
    }
    for (int i = 0; i < 100; i++) reap(children[i]);
}

static void exec(void) {
    for (volatile int i = 0; i < 20; i++) {
        pid_t child = i % 2 ? fork() : vfork();
        REQUIRE(child >= 0);
        if (!child) {
            execl("/bin/busybox", "true", NULL);
            _exit(1);
        }
        reap(child);
    }
}

static void copy_on_write(void) {
    size_t size = 8 * MIB;
    char *memory = map(size, MAP_PRIVATE);
    fill(memory, size, 1);
    pid_t child = fork();
    REQUIRE(child >= 0);
    if (!child) {
        if (!is_filled(memory, size, 1)) _exit(1);
        fill(memory, size, 2);
        _exit(!is_filled(memory, size, 2));
    }
    reap(child);
    REQUIRE(is_filled(memory, size, 1));
}

static void shared_memory(void) {
    size_t size = 4 * MIB;
    char *memory = map(size, MAP_SHARED);
    pid_t child = fork();
    REQUIRE(child >= 0);
    if (!child) {
        fill(memory, size, 7);
        _exit(0);
    }
    reap(child);
    REQUIRE(is_filled(memory, size, 7));
}

static void map_file(void) {
    size_t size = 2 * MIB;
    int file = open("/tmp/mapped", O_RDWR | O_CREAT | O_TRUNC, 0600);
    REQUIRE(file >= 0 && ftruncate(file, (off_t)size) == 0);
    char *memory = mmap(NULL, size, PROT_READ | PROT_WRITE, MAP_SHARED, file, 0);
    REQUIRE(memory != MAP_FAILED);
    fill(memory, size, 3);
    char *copy = malloc(size);
    REQUIRE(copy && pread(file, copy, size, 0) == (ssize_t)size);
    REQUIRE(is_filled(copy, size, 3));
    REQUIRE(munmap(memory, size) == 0 && unlink("/tmp/mapped") == 0);
}

static void mremap_moves(void) {
    size_t size = 8 * MIB;
    char *memory = map(size, MAP_PRIVATE);
    fill(memory, size, 4);
    char *moved = mremap(memory, size, 2 * size, MREMAP_MAYMOVE);
    REQUIRE(moved != MAP_FAILED && is_filled(moved, size, 4));
    /* To an odd place, so that tables are not moved whole. */
    char *place = map(3 * size, MAP_PRIVATE | MAP_NORESERVE) + 3 * PAGE;
    moved = mremap(moved, size, size, MREMAP_MAYMOVE | MREMAP_FIXED, place);
    REQUIRE(moved == place && is_filled(moved, size, 4));
}

static void much_memory(void) {
    for (int i = 0; i < 3; i++) {
        size_t size = 48 * MIB;
        char *memory = map(size, MAP_PRIVATE);
        fill(memory, size, 5);
        REQUIRE(is_filled(memory, size, 5));
        REQUIRE(madvise(memory, size / 2, MADV_DONTNEED) == 0);
        for (size_t at = 0; at < size / 2; at += PAGE) REQUIRE(memory[at] == 0);
        REQUIRE(munmap(memory, size) == 0);
    }
}

static void all_memory(void) {
    /*
     * Every page that is free but for a fifth, which the kernel works with, each with a value of its own; at most
     * 2 GiB, for the sake of time.
     */
    size_t size = (size_t)sysconf(_SC_AVPHYS_PAGES) / 5 * 4 * PAGE;
    if (size > 2048 * MIB) size = 2048 * MIB;
    char *memory = map(size, MAP_PRIVATE | MAP_NORESERVE);
    for (size_t at = 0; at < size; at += PAGE) *(uint64_t *)(memory + at) = at;
    for (size_t at = 0; at < size; at += PAGE) REQUIRE(*(uint64_t *)(memory + at) == at);
    printf("%zu MiB\n", size / MIB);
}

static void sparse_memory(void) {
    /* One page in each of many tables, at every level that a process can make. */
    for (uintptr_t at = 1UL << 32; at < 1UL << 47; at <<= 1) {
        char *memory = mmap((void *)at, PAGE, PROT_READ | PROT_WRITE,
                            MAP_PRIVATE | MAP_ANONYMOUS | MAP_FIXED_NOREPLACE, -1, 0);
        if (memory == MAP_FAILED) continue;
        *memory = 1;
        REQUIRE(mprotect(memory, PAGE, PROT_READ) == 0 && *memory == 1);
    }
}

/* --- faults, traps and what user space may not do --- */

static sigjmp_buf back;
static volatile int caught_signal;
static void *volatile caught_address;
static volatile long caught_error;

static void on_signal(int number, siginfo_t *info, void *context) {
    caught_signal = number;
    caught_address = info->si_addr;
    caught_error = ((ucontext_t *)context)->uc_mcontext.gregs[REG_ERR];
    siglongjmp(back, 1);
}

static void catch_all(void) {
    struct sigaction action = {.sa_sigaction = on_signal, .sa_flags = SA_SIGINFO};
    int numbers[] = {SIGSEGV, SIGBUS, SIGFPE, SIGILL, SIGTRAP};
    for (size_t i = 0; i < sizeof numbers / sizeof *numbers; i++) sigaction(numbers[i], &action, NULL);
}

/* The signal that `statement` ends in, 0 if none. */
#define SIGNAL_OF(statement)                     \
    ({                                           \
        caught_signal = 0;                       \
        if (!sigsetjmp(back, 1)) { statement; }  \
        caught_signal;                           \
    })

static int signal_of_read(uintptr_t address) {
    return SIGNAL_OF((void)*(volatile char *)address);
}

static int signal_of_write(uintptr_t address) {
    return SIGNAL_OF(*(volatile char *)address = 2);
}

static void protection(void) {
    catch_all();
    char *memory = map(PAGE, MAP_PRIVATE);
    *memory = 1;
    REQUIRE(mprotect(memory, PAGE, PROT_READ) == 0);
    REQUIRE(signal_of_write((uintptr_t)memory + 5) == SIGSEGV && caught_address == memory + 5);
    REQUIRE(caught_error == 7);
    REQUIRE(mprotect(memory, PAGE, PROT_READ | PROT_WRITE) == 0);
    REQUIRE(signal_of_write((uintptr_t)memory + 5) == 0 && memory[5] == 2);
    *memory = (char)0xc3;
    REQUIRE(SIGNAL_OF(((void (*)(void))memory)()) == SIGSEGV);
    REQUIRE(mprotect(memory, PAGE, PROT_READ | PROT_EXEC) == 0);
    REQUIRE(SIGNAL_OF(((void (*)(void))memory)()) == 0);
    REQUIRE(signal_of_read(8) == SIGSEGV && caught_address == (void *)8 && caught_error == 4);
    REQUIRE(signal_of_read(0x8000000000000000) == SIGSEGV);
    /* The hypervisor's own part of the address space, its machine-to-physical table, and the kernel's. */
    uintptr_t forbidden[] = {0xffff800000000000, 0xffff820000000000, 0xffff830000000000, 0xffff888000000000,
                             0xffffffff81000000};
    for (size_t i = 1; i < sizeof forbidden / sizeof *forbidden; i++) {
        REQUIRE(signal_of_read(forbidden[i]) == SIGSEGV);
        REQUIRE(signal_of_write(forbidden[i]) == SIGSEGV);
    }
    REQUIRE(signal_of_write(forbidden[0]) == SIGSEGV);
}

static void exceptions(void) {
    catch_all();
    REQUIRE(SIGNAL_OF(asm volatile("xor %%ecx, %%ecx; div %%ecx" ::: "eax", "ecx", "edx")) == SIGFPE);
    REQUIRE(SIGNAL_OF(asm volatile("ud2")) == SIGILL);
    REQUIRE(SIGNAL_OF(asm volatile("int3")) == SIGTRAP);
    REQUIRE(SIGNAL_OF(asm volatile("int $0x30")) == SIGSEGV);
    REQUIRE(SIGNAL_OF(asm volatile("int $0x82")) == SIGSEGV);
    REQUIRE(SIGNAL_OF(asm volatile("int $0x0e")) == SIGSEGV);
    REQUIRE(SIGNAL_OF(asm volatile("mov $-1, %%eax; mov %%eax, %%ds" ::: "eax")) == SIGSEGV);
    REQUIRE(SIGNAL_OF(asm volatile("pushf; orq $0x100, (%%rsp); popf; nop" ::: "memory", "cc")) == SIGTRAP);
}

static void privileged(void) {
    catch_all();
    REQUIRE(SIGNAL_OF(asm volatile("cli")) == SIGSEGV);
    REQUIRE(SIGNAL_OF(asm volatile("hlt")) == SIGSEGV);
    REQUIRE(SIGNAL_OF(asm volatile("mov %%cr3, %%rax" ::: "rax")) == SIGSEGV);
    REQUIRE(SIGNAL_OF(asm volatile("mov %%rax, %%cr0" ::: "rax")) == SIGSEGV);
    REQUIRE(SIGNAL_OF(asm volatile("rdmsr" ::: "rax", "rdx")) == SIGSEGV);
    REQUIRE(SIGNAL_OF(asm volatile("wrmsr" ::: "rax", "rdx")) == SIGSEGV);
    REQUIRE(SIGNAL_OF(asm volatile("invlpg (%rsp)")) == SIGSEGV);
    REQUIRE(SIGNAL_OF(asm volatile("lidt (%rsp)")) == SIGSEGV);
    REQUIRE(SIGNAL_OF(inb(0x80)) == SIGSEGV);
    REQUIRE(ioperm(0x80, 1, 1) == 0);
    REQUIRE(SIGNAL_OF(inb(0x80)) == 0);
    REQUIRE(SIGNAL_OF(inb(0x81)) == SIGSEGV);
    REQUIRE(ioperm(0x80, 1, 0) == 0);
    REQUIRE(SIGNAL_OF(inb(0x80)) == SIGSEGV);
    REQUIRE(iopl(3) == 0);
    REQUIRE(SIGNAL_OF(inb(0x81)) == 0);
}

static void hypercall_from_user(void) {
    /* A process that executes the hypercall instruction makes a system call of its kernel, or none. */
    long result;
    asm volatile("syscall" : "=a"(result) : "a"(SYS_getpid) : "rcx", "r11", "memory");
    REQUIRE(result == getpid());
    asm volatile("syscall" : "=a"(result) : "a"(100000L) : "rcx", "r11", "memory");
    REQUIRE(result == -ENOSYS);
}

static void compatibility_call(void) {
    long result;
    asm volatile("int $0x80" : "=a"(result) : "a"(20L) : "r8", "r9", "r10", "r11", "memory");
    REQUIRE(result == getpid());
}

/* --- CPU state --- */

static int user_ldt(struct user_desc *entry) {
    return (int)syscall(SYS_modify_ldt, 1, entry, sizeof *entry);
}

static void ldt(void) {
    static uint32_t value = 0x12345678;
    uint32_t *low = mmap(NULL, PAGE, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_32BIT, -1, 0);
    REQUIRE(low != MAP_FAILED);
    *low = value;
    struct user_desc entry = {.entry_number = 5, .base_addr = (unsigned)(uintptr_t)low, .limit = 0xfff, .seg_32bit = 1,
                              .useable = 1};
    REQUIRE(user_ldt(&entry) == 0);
    uint32_t got;
    asm volatile("mov %1, %%gs; mov %%gs:0, %0; mov %2, %%gs" : "=&r"(got) : "r"(5 * 8 + 7), "r"(0));
    REQUIRE(got == value);
    pid_t child = fork();
    REQUIRE(child >= 0);
    if (!child) {
        asm volatile("mov %1, %%gs; mov %%gs:0, %0; mov %2, %%gs" : "=&r"(got) : "r"(5 * 8 + 7), "r"(0));
        _exit(got != value);
    }
    reap(child);
}

static void segment_bases(void) {
    uint64_t values[2] = {11, 22};
    uint64_t got;
    REQUIRE(syscall(SYS_arch_prctl, 0x1001 /* ARCH_SET_GS */, values) == 0);
    for (int i = 0; i < 100; i++) {
        asm volatile("mov %%gs:8, %0" : "=r"(got));
        REQUIRE(got == 22);
        sched_yield();
    }
    REQUIRE(syscall(SYS_arch_prctl, 0x1004 /* ARCH_GET_GS */, &got) == 0 && got == (uint64_t)values);
}

/* Vector and x87 registers hold while other processes with values of their own run. */
static void vector_registers(void) {
    pid_t children[4];
    for (int i = 0; i < 4; i++) {
        children[i] = fork();
        REQUIRE(children[i] >= 0);
        if (!children[i]) {
            uint64_t mark = 0x0101010101010101u * (unsigned)(i + 1), got = 0, low = 0;
            long double real = 0;
            for (int round = 0; round < 3000; round++) {
                long ignored;
                asm volatile(
                    "movq %4, %%xmm0; movq %4, %%xmm15; fldpi\n\t"
                    "mov %5, %%eax; syscall\n\t"
                    "movq %%xmm15, %0; movq %%xmm0, %1; fstpt %2"
                    : "=&r"(got), "=&r"(low), "=m"(real), "=&a"(ignored)
                    : "r"(mark), "i"(SYS_sched_yield)
                    : "rcx", "r11", "xmm0", "xmm15", "memory", "st");
                if (got != mark || low != mark || real < 3.14159L || real > 3.1416L) _exit(1);
            }
            _exit(0);
        }
    }
    for (int i = 0; i < 4; i++) reap(children[i]);
}

static void debug_registers(void) {
    static volatile int watched;
    pid_t child = fork();
    REQUIRE(child >= 0);
    if (!child) {
        ptrace(PTRACE_TRACEME, 0, 0, 0);
        raise(SIGSTOP);
        watched = 1;
        _exit(0);
    }
    int status;
    REQUIRE(waitpid(child, &status, 0) == child && WIFSTOPPED(status));
    REQUIRE(ptrace(PTRACE_POKEUSER, child, offsetof(struct user, u_debugreg[0]), &watched) == 0);
    /* Break on a write of four bytes to the address in register 0. */
    REQUIRE(ptrace(PTRACE_POKEUSER, child, offsetof(struct user, u_debugreg[7]), 0xd0001) == 0);
    REQUIRE(ptrace(PTRACE_CONT, child, 0, 0) == 0);
    REQUIRE(waitpid(child, &status, 0) == child && WIFSTOPPED(status) && WSTOPSIG(status) == SIGTRAP);
    long dr6 = ptrace(PTRACE_PEEKUSER, child, offsetof(struct user, u_debugreg[6]), 0);
    REQUIRE(dr6 & 1);
    REQUIRE(ptrace(PTRACE_CONT, child, 0, 0) == 0);
    REQUIRE(waitpid(child, &status, 0) == child && WIFEXITED(status) && WEXITSTATUS(status) == 0);
}

/* --- threads and time --- */

static __thread unsigned own;
static unsigned long total;

static void *count(void *argument) {
    own = (unsigned)(uintptr_t)argument;
    for (int i = 0; i < 20000; i++) {
        __atomic_fetch_add(&total, 1, __ATOMIC_RELAXED);
        if (i % 500 == 0) sched_yield();
    }
    return (void *)(uintptr_t)own;
}

static void threads(void) {
    pthread_t all[8];
    for (uintptr_t i = 0; i < 8; i++) REQUIRE(pthread_create(&all[i], NULL, count, (void *)(i + 1)) == 0);
    for (uintptr_t i = 0; i < 8; i++) {
        void *result;
        REQUIRE(pthread_join(all[i], &result) == 0 && (uintptr_t)result == i + 1);
    }
    REQUIRE(total == 8 * 20000);
}

/* Memory changed under threads on all CPUs: what one unmaps or protects, no other may still reach. */
#define CONTESTED (256UL * 1024)
static char *volatile contested;
static volatile int stop;

static void *read_contested(void *ignored) {
    unsigned long sum = 0;
    while (!stop) {
        for (size_t at = 0; at < CONTESTED; at += PAGE) sum += (unsigned char)contested[at];
    }
    (void)ignored;
    return (void *)sum;
}

static void flushes(void) {
    pthread_t reader;
    contested = map(CONTESTED, MAP_PRIVATE);
    REQUIRE(pthread_create(&reader, NULL, read_contested, NULL) == 0);
    for (int i = 0; i < 25; i++) {
        memset(contested, i, CONTESTED);
        REQUIRE(mprotect(contested, CONTESTED, PROT_READ) == 0);
        REQUIRE(mprotect(contested, CONTESTED, PROT_READ | PROT_WRITE) == 0);
        REQUIRE(madvise(contested, CONTESTED, MADV_DONTNEED) == 0);
        REQUIRE(contested[CONTESTED - PAGE] == 0);
    }
    stop = 1;
    REQUIRE(pthread_join(reader, NULL) == 0);
}

/* The other end of a pipe on every CPU in turn. */
static void every_cpu(void) {
    long cpus = sysconf(_SC_NPROCESSORS_ONLN);
    for (int cpu = 0; cpu < cpus; cpu++) {
        cpu_set_t set;
        CPU_ZERO(&set);
        CPU_SET(cpu, &set);
        REQUIRE(sched_setaffinity(0, sizeof set, &set) == 0);
        REQUIRE(sched_getcpu() == cpu);
        fork_tree();
    }
    printf("%ld CPUs\n", cpus);
}

static void clocks(void) {
    uint64_t last = now();
    for (int i = 0; i < 20000; i++) {
        uint64_t next = now();
        REQUIRE(next >= last);
        last = next;
    }
    struct timespec nap = {.tv_nsec = 30 * 1000 * 1000};
    uint64_t start = now();
    for (int i = 0; i < 5; i++) REQUIRE(nanosleep(&nap, NULL) == 0);
    uint64_t took = now() - start;
    REQUIRE(took >= 150 * 1000 * 1000ull);
    REQUIRE(took < 5000 * 1000 * 1000ull);
    time_t wall = time(NULL);
    REQUIRE(wall > 1700000000);
}

static volatile int alarms;

static void on_alarm(int number) {
    (void)number;
    alarms++;
}

static void interval_timer(void) {
    signal(SIGALRM, on_alarm);
    struct itimerval every = {{0, 10000}, {0, 10000}};
    REQUIRE(setitimer(ITIMER_REAL, &every, NULL) == 0);
    uint64_t deadline = now() + 20000000000u;
    while (alarms < 20) REQUIRE(now() < deadline);
}

static void pipes(void) {
    int ends[2];
    REQUIRE(pipe(ends) == 0);
    pid_t child = fork();
    REQUIRE(child >= 0);
    static char block[64 * 1024];
    if (!child) {
        for (unsigned i = 0; i < 32; i++) {
            fill(block, sizeof block, i);
            if (write(ends[1], block, sizeof block) != (ssize_t)sizeof block) _exit(1);
        }
        _exit(0);
    }
    for (unsigned i = 0; i < 32; i++) {
        for (size_t got = 0; got < sizeof block;) {
            ssize_t length = read(ends[0], block + got, sizeof block - got);
            REQUIRE(length > 0);
            got += (size_t)length;
        }
        REQUIRE(is_filled(block, sizeof block, i));
    }
    reap(child);
}

static const struct {
    const char *name;
    void (*run)(void);
} EXERCISES[] = {
    {"fork-tree", fork_tree},
    {"many-at-once", many_at_once},
    {"exec", exec},
    {"copy-on-write", copy_on_write},
    {"shared-memory", shared_memory},
    {"map-file", map_file},
    {"mremap", mremap_moves},
    {"much-memory", much_memory},
    {"all-memory", all_memory},
    {"sparse-memory", sparse_memory},
    {"protection", protection},
    {"exceptions", exceptions},
    {"privileged", privileged},
    {"system-calls", hypercall_from_user},
    {"compatibility-call", compatibility_call},
    {"ldt", ldt},
    {"segment-bases", segment_bases},
    {"vector-registers", vector_registers},
    {"debug-registers", debug_registers},
    {"threads", threads},
    {"flushes", flushes},
    {"every-cpu", every_cpu},
    {"clocks", clocks},
    {"interval-timer", interval_timer},
    {"pipes", pipes},
};

static int run(const char *name, void (*exercise)(void)) {
    fflush(stdout);
    pid_t child = fork();
    if (child < 0) return 1;
    if (!child) {
        exercise();
        exit(0);
    }
    int status;
    waitpid(child, &status, 0);
    printf(status ? "not ok %s (status %#x)\n" : "ok %s\n", name, status);
    return status != 0;
}

int main(int argc, char **argv) {
    int failed = 0;
    for (size_t i = 0; i < sizeof EXERCISES / sizeof *EXERCISES; i++) {
        int wanted = argc < 2;
        for (int argument = 1; argument < argc; argument++) wanted |= !strcmp(argv[argument], EXERCISES[i].name);
        if (wanted) failed |= run(EXERCISES[i].name, EXERCISES[i].run);
    }
    return failed;
}
