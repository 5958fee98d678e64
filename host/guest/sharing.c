/*
 * What domains do with each other's memory and events, done by one domain with itself through Debian's own drivers:
 * `sharing NAME...` runs the exercises named, each in a process of its own, and prints `ok NAME` or `not ok NAME`. The
 * exit status is zero when all were ok. /dev/xen has the devices.
 */
#define _GNU_SOURCE
#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <sys/wait.h>
#include <unistd.h>

typedef uint32_t grant_ref_t;
typedef uint16_t domid_t;
#include <xen/evtchn.h>
#include <xen/gntalloc.h>
#include <xen/gntdev.h>

#define PAGE 4096UL
/* The domain that this runs in. */
#define SELF 0
/* One that there is not. */
#define NOBODY 4000
/* Grants made and mapped at a time. */
#define COUNT 24

/* Ends the exercise as failed, saying where. */
#define REQUIRE(condition)                                                        \
    do {                                                                          \
        if (!(condition)) {                                                       \
            printf("line %d: %s (errno %d)\n", __LINE__, #condition, errno);     \
            fflush(stdout);                                                       \
            _exit(1);                                                             \
        }                                                                         \
    } while (0)

static int device(const char *name) {
    char path[64];
    snprintf(path, sizeof path, "/dev/xen/%s", name);
    int file = open(path, O_RDWR | O_CLOEXEC);
    REQUIRE(file >= 0);
    return file;
}

static void fill(char *memory, size_t size, unsigned seed) {
    for (size_t at = 0; at < size; at += sizeof(uint64_t)) *(uint64_t *)(memory + at) = at * 2654435761u + seed;
}

static int is_filled(const char *memory, size_t size, unsigned seed) {
    for (size_t at = 0; at < size; at += sizeof(uint64_t)) {
        if (*(const uint64_t *)(memory + at) != at * 2654435761u + seed) return 0;
    }
    return 1;
}

/* --- grants --- */

/* Pages of ours that domain `to` may use: where we see them, and how it calls them. */
struct granted {
    int file;
    char *memory;
    uint64_t index;
    uint32_t count;
    uint32_t refs[COUNT];
};

static struct granted grant(domid_t to, uint32_t count, int writable) {
    union {
        struct ioctl_gntalloc_alloc_gref call;
        char room[sizeof(struct ioctl_gntalloc_alloc_gref) + COUNT * sizeof(uint32_t)];
    } request;
    memset(&request, 0, sizeof request);
    struct granted made = {.file = device("gntalloc"), .count = count};
    request.call.domid = to;
    request.call.flags = writable ? GNTALLOC_FLAG_WRITABLE : 0;
    request.call.count = count;
    REQUIRE(ioctl(made.file, IOCTL_GNTALLOC_ALLOC_GREF, &request) == 0);
    made.index = request.call.index;
    memcpy(made.refs, request.call.gref_ids, count * sizeof(uint32_t));
    made.memory = mmap(NULL, count * PAGE, PROT_READ | PROT_WRITE, MAP_SHARED, made.file, (off_t)made.index);
    REQUIRE(made.memory != MAP_FAILED);
    return made;
}

static void withdraw(struct granted *made) {
    struct ioctl_gntalloc_dealloc_gref request = {.index = made->index, .count = made->count};
    REQUIRE(munmap(made->memory, made->count * PAGE) == 0);
    REQUIRE(ioctl(made->file, IOCTL_GNTALLOC_DEALLOC_GREF, &request) == 0);
    close(made->file);
}

/* Grants of another mapped; `memory` is NULL if they could not be. */
struct mapped {
    int file;
    char *memory;
    uint64_t index;
    uint32_t count;
};

static struct mapped map(domid_t from, const uint32_t *refs, uint32_t count, int protection) {
    union {
        struct ioctl_gntdev_map_grant_ref call;
        char room[sizeof(struct ioctl_gntdev_map_grant_ref) + COUNT * sizeof(struct ioctl_gntdev_grant_ref)];
    } request;
    memset(&request, 0, sizeof request);
    struct mapped made = {.file = device("gntdev"), .count = count};
    request.call.count = count;
    struct ioctl_gntdev_grant_ref *list = request.call.refs;
    for (uint32_t i = 0; i < count; i++) list[i] = (struct ioctl_gntdev_grant_ref){from, refs[i]};
    REQUIRE(ioctl(made.file, IOCTL_GNTDEV_MAP_GRANT_REF, &request) == 0);
    made.index = request.call.index;
    made.memory = mmap(NULL, count * PAGE, protection, MAP_SHARED, made.file, (off_t)made.index);
    if (made.memory == MAP_FAILED) made.memory = NULL;
    return made;
}

static void unmap(struct mapped *made) {
    struct ioctl_gntdev_unmap_grant_ref request = {.index = made->index, .count = made->count};
    if (made->memory) REQUIRE(munmap(made->memory, made->count * PAGE) == 0);
    REQUIRE(ioctl(made->file, IOCTL_GNTDEV_UNMAP_GRANT_REF, &request) == 0);
    close(made->file);
}

/* What one side writes, the other reads, and the other way round. */
static void map_and_write(void) {
    struct granted own = grant(SELF, COUNT, 1);
    fill(own.memory, COUNT * PAGE, 1);
    struct mapped other = map(SELF, own.refs, COUNT, PROT_READ | PROT_WRITE);
    REQUIRE(other.memory);
    REQUIRE(is_filled(other.memory, COUNT * PAGE, 1));
    fill(other.memory, COUNT * PAGE, 2);
    REQUIRE(is_filled(own.memory, COUNT * PAGE, 2));
    unmap(&other);
    REQUIRE(is_filled(own.memory, COUNT * PAGE, 2));
    withdraw(&own);
}

/* What was granted for reading can be read, and not mapped for writing. */
static void map_read_only(void) {
    struct granted own = grant(SELF, 2, 0);
    fill(own.memory, 2 * PAGE, 3);
    struct mapped other = map(SELF, own.refs, 2, PROT_READ);
    REQUIRE(other.memory);
    REQUIRE(is_filled(other.memory, 2 * PAGE, 3));
    struct mapped writing = map(SELF, own.refs, 2, PROT_READ | PROT_WRITE);
    REQUIRE(!writing.memory);
    unmap(&writing);
    fill(own.memory, 2 * PAGE, 4);
    REQUIRE(is_filled(other.memory, 2 * PAGE, 4));
    unmap(&other);
    withdraw(&own);
}

/* Grants for somebody else, of nobody, and that were never made, cannot be mapped. */
static void map_refused(void) {
    struct granted own = grant(NOBODY, 1, 1);
    uint32_t never = 400, beyond = 1 << 20;
    struct {
        domid_t from;
        const uint32_t *refs;
    } tries[] = {{SELF, own.refs}, {NOBODY, own.refs}, {SELF, &never}, {SELF, &beyond}};
    for (size_t i = 0; i < sizeof tries / sizeof *tries; i++) {
        struct mapped none = map(tries[i].from, tries[i].refs, 1, PROT_READ);
        REQUIRE(!none.memory);
        unmap(&none);
    }
    withdraw(&own);
}

/* One grant mapped as often as it can be: the limit is told, and is there again afterwards. */
static void map_often(void) {
    enum { MOST = 200 };
    struct granted own = grant(SELF, 1, 1);
    fill(own.memory, PAGE, 5);
    static struct mapped other[MOST];
    for (int round = 0; round < 2; round++) {
        int count = 0;
        while (count < MOST) {
            other[count] = map(SELF, own.refs, 1, PROT_READ | PROT_WRITE);
            if (!other[count].memory) break;
            REQUIRE(is_filled(other[count].memory, PAGE, 5));
            count++;
        }
        printf("maps=%d\n", count);
        for (int i = 0; i <= count && i < MOST; i++) unmap(&other[i]);
    }
    withdraw(&own);
}

/* A process that ends with mappings gives them back. */
static void mapper_ends(void) {
    struct granted own = grant(SELF, COUNT, 1);
    fill(own.memory, COUNT * PAGE, 6);
    for (int round = 0; round < 10; round++) {
        int ready[2];
        REQUIRE(pipe(ready) == 0);
        pid_t child = fork();
        REQUIRE(child >= 0);
        if (!child) {
            struct mapped other = map(SELF, own.refs, COUNT, PROT_READ | PROT_WRITE);
            REQUIRE(other.memory && is_filled(other.memory, COUNT * PAGE, 6));
            REQUIRE(write(ready[1], "", 1) == 1);
            for (;;) pause();
        }
        char byte;
        REQUIRE(read(ready[0], &byte, 1) == 1);
        close(ready[0]);
        close(ready[1]);
        REQUIRE(kill(child, SIGKILL) == 0);
        REQUIRE(waitpid(child, NULL, 0) == child);
    }
    withdraw(&own);
}

/* The byte that was asked for is cleared when a mapping goes. */
static void unmap_notification(void) {
    struct granted own = grant(SELF, 1, 1);
    own.memory[100] = 7;
    struct mapped other = map(SELF, own.refs, 1, PROT_READ | PROT_WRITE);
    REQUIRE(other.memory && other.memory[100] == 7);
    struct ioctl_gntdev_unmap_notify request = {.index = other.index + 100, .action = UNMAP_NOTIFY_CLEAR_BYTE};
    REQUIRE(ioctl(other.file, IOCTL_GNTDEV_SET_UNMAP_NOTIFY, &request) == 0);
    unmap(&other);
    REQUIRE(own.memory[100] == 0);
    withdraw(&own);
}

/* Copies between `local` and offset `at` of a grant of domain `of`; the answer is the status. */
static int copy(domid_t of, uint32_t ref, uint16_t at, char *local, uint16_t length, int to_grant) {
    enum { SOURCE_GREF = 1, DEST_GREF = 2 };
    struct gntdev_grant_copy_segment one = {.len = length, .flags = to_grant ? DEST_GREF : SOURCE_GREF};
    __typeof__(one.source) grant = {.foreign = {.ref = ref, .offset = at, .domid = of}}, own = {.virt = local};
    one.source = to_grant ? own : grant;
    one.dest = to_grant ? grant : own;
    struct ioctl_gntdev_grant_copy request = {.count = 1, .segments = &one};
    int file = device("gntdev");
    REQUIRE(ioctl(file, IOCTL_GNTDEV_GRANT_COPY, &request) == 0);
    close(file);
    return one.status;
}

/* Bytes are copied from and to grants, whatever their number and place, and none beside them. */
static void copy_both_ways(void) {
    struct granted own = grant(SELF, 1, 1);
    char *local = mmap(NULL, 2 * PAGE, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    REQUIRE(local != MAP_FAILED);
    static const struct {
        uint16_t at, local, length;
    } runs[] = {{0, 0, 4096}, {1, 2, 3}, {8, 8, 8}, {4095, 0, 1}, {13, 4090, 1500}, {0, 4095, 2}, {7, 1, 4089}, {5, 5, 0}};
    for (size_t i = 0; i < sizeof runs / sizeof *runs; i++) {
        fill(own.memory, PAGE, 10);
        memset(local, 0x5a, 2 * PAGE);
        REQUIRE(copy(SELF, own.refs[0], runs[i].at, local + runs[i].local, runs[i].length, 0) == 0);
        REQUIRE(memcmp(local + runs[i].local, own.memory + runs[i].at, runs[i].length) == 0);
        for (size_t j = 0; j < 2 * PAGE; j++) {
            if (j < runs[i].local || j >= (size_t)runs[i].local + runs[i].length) REQUIRE(local[j] == 0x5a);
        }
        memset(local, 0x77, 2 * PAGE);
        REQUIRE(copy(SELF, own.refs[0], runs[i].at, local + runs[i].local, runs[i].length, 1) == 0);
        for (size_t j = 0; j < runs[i].length; j++) REQUIRE(own.memory[runs[i].at + j] == 0x77);
        memset(own.memory + runs[i].at, 0, runs[i].length);
        char *expected = malloc(PAGE);
        REQUIRE(expected);
        fill(expected, PAGE, 10);
        memset(expected + runs[i].at, 0, runs[i].length);
        REQUIRE(memcmp(expected, own.memory, PAGE) == 0);
        free(expected);
    }
    withdraw(&own);
}

/* Copies that are not permitted say so and change nothing. */
static void copy_refused(void) {
    struct granted reading = grant(SELF, 1, 0), others = grant(NOBODY, 1, 1);
    static char local[PAGE] __attribute__((aligned(PAGE)));
    fill(reading.memory, PAGE, 11);
    memset(local, 0, PAGE);
    REQUIRE(copy(SELF, reading.refs[0], 0, local, 64, 0) == 0);
    printf("copy-to-read-only=%d\n", copy(SELF, reading.refs[0], 0, local + 64, 64, 1));
    printf("copy-not-for-us=%d\n", copy(SELF, others.refs[0], 0, local, 64, 0));
    printf("copy-never-made=%d\n", copy(SELF, 400, 0, local, 64, 0));
    printf("copy-beyond-table=%d\n", copy(SELF, 1 << 20, 0, local, 64, 0));
    printf("copy-of-nobody=%d\n", copy(NOBODY, reading.refs[0], 0, local, 64, 0));
    REQUIRE(is_filled(reading.memory, PAGE, 11));
    withdraw(&reading);
    withdraw(&others);
}

/* --- events --- */

static uint32_t unbound(int file, domid_t remote) {
    struct ioctl_evtchn_bind_unbound_port request = {.remote_domain = remote};
    int port = ioctl(file, IOCTL_EVTCHN_BIND_UNBOUND_PORT, &request);
    REQUIRE(port > 0);
    return (uint32_t)port;
}

static int bind(int file, domid_t remote, uint32_t port) {
    struct ioctl_evtchn_bind_interdomain request = {.remote_domain = remote, .remote_port = port};
    return ioctl(file, IOCTL_EVTCHN_BIND_INTERDOMAIN, &request);
}

static void notify(int file, uint32_t port) {
    struct ioctl_evtchn_notify request = {.port = port};
    REQUIRE(ioctl(file, IOCTL_EVTCHN_NOTIFY, &request) == 0);
}

/* The port that has an event within a time; 0 for none. It is unmasked again. */
static uint32_t event(int file, int milliseconds) {
    struct pollfd wait = {.fd = file, .events = POLLIN};
    if (poll(&wait, 1, milliseconds) != 1) return 0;
    uint32_t port;
    REQUIRE(read(file, &port, sizeof port) == sizeof port);
    REQUIRE(write(file, &port, sizeof port) == sizeof port);
    return port;
}

/* A channel between two ports carries events both ways; closing one end leaves the other waiting for a peer. */
static void channel(void) {
    int one = device("evtchn"), other = device("evtchn");
    uint32_t far = unbound(one, SELF);
    int near = bind(other, SELF, far);
    REQUIRE(near > 0);
    /* Binding makes one event, for whatever came before. */
    REQUIRE(event(other, 5000) == (uint32_t)near);
    for (int i = 0; i < 100; i++) {
        notify(other, (uint32_t)near);
        REQUIRE(event(one, 5000) == far);
        notify(one, far);
        REQUIRE(event(other, 5000) == (uint32_t)near);
    }
    REQUIRE(event(one, 20) == 0 && event(other, 20) == 0);
    close(other);
    notify(one, far);
    REQUIRE(event(one, 20) == 0);
    int again = device("evtchn");
    near = bind(again, SELF, far);
    REQUIRE(near > 0 && event(again, 5000) == (uint32_t)near);
    notify(again, (uint32_t)near);
    REQUIRE(event(one, 5000) == far);
    REQUIRE(bind(again, SELF, far) < 0);
    printf("bind-twice=%d\n", errno);
}

/* What cannot be bound says why. */
static void channel_refused(void) {
    int file = device("evtchn");
    uint32_t others = unbound(file, NOBODY);
    REQUIRE(bind(file, SELF, others) < 0);
    printf("bind-not-for-us=%d\n", errno);
    REQUIRE(bind(file, SELF, 3000) < 0);
    printf("bind-never-made=%d\n", errno);
    REQUIRE(bind(file, SELF, 1 << 20) < 0);
    printf("bind-beyond-table=%d\n", errno);
    REQUIRE(bind(file, NOBODY, 1) < 0);
    printf("bind-of-nobody=%d\n", errno);
    notify(file, others);
}

/* Many channels at a time, more than the two-level format's words hold at once. */
static void many_channels(void) {
    enum { MANY = 1200 };
    int one = device("evtchn"), other = device("evtchn");
    static uint32_t far[MANY], near[MANY];
    for (int i = 0; i < MANY; i++) {
        far[i] = unbound(one, SELF);
        int bound = bind(other, SELF, far[i]);
        REQUIRE(bound > 0 && event(other, 5000) == (uint32_t)bound);
        near[i] = (uint32_t)bound;
    }
    for (int i = MANY - 1; i >= 0; i -= 7) {
        notify(other, near[i]);
        REQUIRE(event(one, 5000) == far[i]);
    }
}

struct exercise {
    const char *name;
    void (*run)(void);
};

static const struct exercise EXERCISES[] = {
    {"map-and-write", map_and_write},
    {"map-read-only", map_read_only},
    {"map-refused", map_refused},
    {"map-often", map_often},
    {"mapper-ends", mapper_ends},
    {"unmap-notification", unmap_notification},
    {"copy-both-ways", copy_both_ways},
    {"copy-refused", copy_refused},
    {"channel", channel},
    {"channel-refused", channel_refused},
    {"many-channels", many_channels},
};

static int run(const struct exercise *exercise) {
    fflush(stdout);
    pid_t child = fork();
    if (!child) {
        exercise->run();
        fflush(stdout);
        _exit(0);
    }
    int status = -1;
    waitpid(child, &status, 0);
    printf("%s %s\n", status ? "not ok" : "ok", exercise->name);
    return status == 0;
}

int main(int count, char **names) {
    int good = 1;
    for (size_t i = 0; i < sizeof EXERCISES / sizeof *EXERCISES; i++) {
        int wanted = count < 2;
        for (int j = 1; j < count; j++) wanted |= !strcmp(names[j], EXERCISES[i].name);
        if (wanted) good &= run(&EXERCISES[i]);
    }
    return !good;
}
