/*
 * Every operation on grants, asked of the hypervisor directly through /dev/xen/privcmd, by dom0 with itself at both ends:
 * what no driver of the kernel asks for is asked for too. `grantops` prints each answer as `NAME=NUMBER`, so that the
 * answers of two hypervisors can be compared, and ends with status zero if all that could be checked here was right.
 *
 * The kernel must have given back some memory before (it is the headroom that frames are taken from). Grants 480 to 511
 * are used; the kernel takes them from the other end.
 */
#define _GNU_SOURCE
#include <errno.h>
#include <fcntl.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <unistd.h>

#define PAGE 4096UL
#define SELF 0x7ff0
#define OWN 0
#define NOBODY 4000
#define FIRST 480

/* public/xen.h and public/grant_table.h */
enum { MMU_UPDATE = 1, MEMORY_OP = 12, GRANT_TABLE_OP = 20, MMUEXT_OP = 26 };
enum { MAP, UNMAP, SETUP, DUMP, TRANSFER, COPY, QUERY_SIZE, REPLACE, SET_VERSION, STATUS_FRAMES, GET_VERSION, SWAP, CACHE_FLUSH };
enum { DEVICE_MAP = 1, HOST_MAP = 2, READONLY = 4, APPLICATION = 8, CONTAINS_PTE = 16 };
enum { PERMIT = 1, ACCEPT = 2, TRANSITIVE = 3, GTF_READONLY = 4, READING = 8, WRITING = 16, SUB_PAGE = 256, COMMITTED = 4, COMPLETED = 8 };

struct entry1 { uint16_t flags, domid; uint32_t frame; };
struct entry2 { uint16_t flags, domid, offset, length; uint64_t frame; };
struct map { uint64_t host; uint32_t flags, ref; uint16_t dom; int16_t status; uint32_t handle; uint64_t bus; };
struct unmap { uint64_t host, bus; uint32_t handle; int16_t status; };
struct replace { uint64_t host, new; uint32_t handle; int16_t status; };
struct setup { uint16_t dom; uint32_t frames; int16_t status; uint64_t list; };
struct transfer { uint64_t mfn; uint16_t domid; uint32_t ref; int16_t status; };
struct end { uint64_t what; uint16_t domid, offset; };
struct copy { struct end source, dest; uint16_t length, flags; int16_t status; };
struct size { uint16_t dom; uint32_t frames, most; int16_t status; };
struct status_frames { uint32_t frames; uint16_t dom; int16_t status; uint64_t list; };
struct version { uint16_t dom, pad; uint32_t version; };
struct swap { uint32_t a, b; int16_t status; };
struct flush { uint64_t bus; uint16_t offset, length; uint32_t op; };
struct reservation { uint64_t list, count; uint32_t order, flags; uint16_t domid; };
struct resource { uint16_t domid, type; uint32_t id, frames, pad; uint64_t frame, list; };
struct mmuext { uint32_t command; uint64_t first, second; };

struct privcmd_hypercall { uint64_t op, arg[5]; };
struct privcmd_batch { unsigned num; uint16_t dom; uint64_t addr; const uint64_t *frames; int *errors; };
#define PRIVCMD_HYPERCALL _IOC(_IOC_NONE, 'P', 0, sizeof(struct privcmd_hypercall))
#define PRIVCMD_MMAPBATCH_V2 _IOC(_IOC_NONE, 'P', 4, sizeof(struct privcmd_batch))

static int privcmd;
static int bad;
/* What the hypervisor reads and writes: never paged, never moved. */
static char *room;

#define RIGHT(condition)                                                          \
    do {                                                                          \
        if (!(condition)) {                                                       \
            printf("line %d: not %s\n", __LINE__, #condition);                   \
            bad = 1;                                                              \
        }                                                                         \
    } while (0)

static void tell(const char *name, long value) {
    printf("%s=%ld\n", name, value);
}

static long hypercall(uint64_t op, uint64_t a, uint64_t b, uint64_t c, uint64_t d) {
    struct privcmd_hypercall call = {op, {a, b, c, d, 0}};
    long result = ioctl(privcmd, PRIVCMD_HYPERCALL, &call);
    return result < 0 ? -errno : result;
}

/* Asks for `count` elements of `size` bytes, which are there and back in `room`. */
static long ask(int op, void *elements, size_t size, uint32_t count) {
    memcpy(room, elements, size * count);
    long result = hypercall(GRANT_TABLE_OP, (uint64_t)op, (uint64_t)room, count, 0);
    memcpy(elements, room, size * count);
    return result;
}

/* A new frame of ours. */
static uint64_t new_frame(void) {
    uint64_t *list = (uint64_t *)(room + PAGE);
    struct reservation request = {.list = (uint64_t)list, .count = 1, .domid = SELF};
    memcpy(room, &request, sizeof request);
    long got = hypercall(MEMORY_OP, 0, (uint64_t)room, 0, 0);
    if (got != 1) {
        printf("no frame: %ld\n", got);
        exit(1);
    }
    return *list;
}

/* `count` frames of ours, seen here. */
static char *see(const uint64_t *frames, unsigned count) {
    char *at = mmap(NULL, count * PAGE, PROT_READ | PROT_WRITE, MAP_SHARED, privcmd, 0);
    int errors[16] = {0};
    struct privcmd_batch request = {count, SELF, (uint64_t)at, frames, errors};
    if (at == MAP_FAILED || ioctl(privcmd, PRIVCMD_MMAPBATCH_V2, &request) != 0 || errors[0]) {
        printf("cannot map a frame: errno %d, %d\n", errno, errors[0]);
        exit(1);
    }
    return at;
}

static volatile struct entry1 *v1;
static volatile struct entry2 *v2;
static volatile uint16_t *statuses;

static void permit(uint32_t ref, uint16_t to, uint16_t flags, uint64_t frame) {
    v1[ref] = (struct entry1){0, to, (uint32_t)frame};
    v1[ref].flags = flags;
}

static long map(struct map *request) {
    long result = ask(MAP, request, sizeof *request, 1);
    return result ? result : request->status;
}

static long unmap(uint64_t host, uint64_t bus, uint32_t handle) {
    struct unmap request = {.host = host, .bus = bus, .handle = handle, .status = 99};
    long result = ask(UNMAP, &request, sizeof request, 1);
    return result ? result : request.status;
}

static long copy(struct end source, struct end dest, uint16_t length, uint16_t flags) {
    struct copy request = {source, dest, length, flags, 99};
    long result = ask(COPY, &request, sizeof request, 1);
    return result ? result : request.status;
}

static uint64_t frames[3];
/* Where frames[0], frames[1] and a third one are seen; and a place for mappings by grant. */
static char *seen, *place;

/* --- tables --- */

static void tables(void) {
    struct size size = {.dom = SELF};
    RIGHT(ask(QUERY_SIZE, &size, sizeof size, 1) == 0 && size.status == 0);
    tell("most-frames", size.most);
    struct size other = {.dom = NOBODY};
    tell("size-of-nobody", ask(QUERY_SIZE, &other, sizeof other, 1) ?: other.status);
    tell("size-of-two", ask(QUERY_SIZE, room, sizeof other, 2));
    struct setup many = {.dom = SELF, .frames = size.most + 1, .list = (uint64_t)(room + PAGE)};
    tell("setup-too-many", ask(SETUP, &many, sizeof many, 1) ?: many.status);
    struct setup nobody = {.dom = NOBODY, .frames = 1, .list = (uint64_t)(room + PAGE)};
    tell("setup-of-nobody", ask(SETUP, &nobody, sizeof nobody, 1) ?: nobody.status);
    struct setup nowhere = {.dom = SELF, .frames = 1, .list = 8};
    tell("setup-to-nowhere", ask(SETUP, &nowhere, sizeof nowhere, 1) ?: nowhere.status);
    struct setup hidden = {.dom = SELF, .frames = 1, .list = 0xffff820000000000};
    tell("setup-to-hypervisor", ask(SETUP, &hidden, sizeof hidden, 1) ?: hidden.status);
    struct setup own = {.dom = SELF, .frames = 1, .list = (uint64_t)(room + PAGE)};
    RIGHT(ask(SETUP, &own, sizeof own, 1) == 0 && own.status == 0);
    char *table = see((uint64_t *)(room + PAGE), 1);
    v1 = (volatile struct entry1 *)table;
    v2 = (volatile struct entry2 *)table;
    tell("dump", ask(DUMP, room, 4, 1));
    tell("unknown", ask(13, room, 8, 1));
    tell("argument-bits", hypercall(GRANT_TABLE_OP, MAP | 1 << 12, (uint64_t)room, 0, 0));
    tell("negative-count", hypercall(GRANT_TABLE_OP, MAP, (uint64_t)room, 0x80000000, 0));
    tell("map-nowhere", hypercall(GRANT_TABLE_OP, MAP, 8, 1, 0));
}

/* --- mapping --- */

static struct map by_address(uint32_t ref, uint32_t flags) {
    return (struct map){.host = (uint64_t)place, .flags = HOST_MAP | APPLICATION | flags, .ref = ref, .dom = OWN, .status = 99};
}

static void mapping(void) {
    permit(FIRST, OWN, PERMIT, frames[0]);
    permit(FIRST + 1, OWN, PERMIT | GTF_READONLY, frames[1]);
    struct map one = by_address(FIRST, 0);
    RIGHT(map(&one) == 0);
    RIGHT(one.bus == frames[0] * PAGE);
    RIGHT(v1[FIRST].flags == (PERMIT | READING | WRITING));
    strcpy(seen, "through the grant");
    RIGHT(!strcmp(place, "through the grant"));
    place[0] = 'T';
    RIGHT(seen[0] == 'T');
    /* What is not that mapping does not undo it. */
    tell("unmap-elsewhere", unmap((uint64_t)(seen + PAGE), 0, one.handle));
    tell("unmap-no-address", unmap(0x1000, 0, one.handle));
    tell("unmap-nothing", unmap(0, 0, one.handle));
    tell("unmap-bad-handle", unmap((uint64_t)place, 0, 77777));
    RIGHT(v1[FIRST].flags == (PERMIT | READING | WRITING));
    tell("unmap", unmap((uint64_t)place, 0, one.handle));
    RIGHT(v1[FIRST].flags == PERMIT);
    tell("unmap-again", unmap((uint64_t)place, 0, one.handle));

    struct map reading = by_address(FIRST + 1, READONLY);
    tell("map-read-only", map(&reading));
    RIGHT(v1[FIRST + 1].flags == (PERMIT | GTF_READONLY | READING));
    strcpy(seen + PAGE, "only to be read");
    RIGHT(!strcmp(place, "only to be read"));
    struct map writing = by_address(FIRST + 1, 0);
    writing.flags = DEVICE_MAP;
    tell("map-to-write", map(&writing));
    RIGHT(v1[FIRST + 1].flags == (PERMIT | GTF_READONLY | READING));
    RIGHT(unmap((uint64_t)place, 0, reading.handle) == 0);
    RIGHT(v1[FIRST + 1].flags == (PERMIT | GTF_READONLY));

    /* For the CPU and for devices, one after the other undone. */
    struct map both = by_address(FIRST, DEVICE_MAP);
    RIGHT(map(&both) == 0);
    tell("unmap-bad-bus", unmap(0, both.bus + PAGE, both.handle));
    tell("unmap-device", unmap(0, both.bus, both.handle));
    RIGHT(v1[FIRST].flags == (PERMIT | READING | WRITING));
    RIGHT(unmap((uint64_t)place, both.bus, both.handle) == 0);
    RIGHT(v1[FIRST].flags == PERMIT);
    struct map device = {.flags = DEVICE_MAP | READONLY, .ref = FIRST, .dom = OWN};
    RIGHT(map(&device) == 0 && v1[FIRST].flags == (PERMIT | READING));
    RIGHT(unmap(0, device.bus, device.handle) == 0 && v1[FIRST].flags == PERMIT);
}

static void mapping_refused(void) {
    struct {
        const char *name;
        struct map request;
        uint16_t flags, to;
        uint64_t frame;
    } tries[] = {
        {"map-no-kind", {.host = (uint64_t)place, .ref = FIRST, .dom = OWN}, PERMIT, OWN, frames[0]},
        {"map-by-self", {.host = (uint64_t)place, .flags = HOST_MAP, .ref = FIRST, .dom = SELF}, PERMIT, OWN, frames[0]},
        {"map-of-nobody", {.host = (uint64_t)place, .flags = HOST_MAP, .ref = FIRST, .dom = NOBODY}, PERMIT, OWN, frames[0]},
        {"map-beyond", {.host = (uint64_t)place, .flags = HOST_MAP, .ref = 1 << 24, .dom = OWN}, PERMIT, OWN, frames[0]},
        {"map-unused", {.host = (uint64_t)place, .flags = HOST_MAP, .ref = FIRST, .dom = OWN}, 0, OWN, frames[0]},
        {"map-transfer", {.host = (uint64_t)place, .flags = HOST_MAP, .ref = FIRST, .dom = OWN}, ACCEPT, OWN, frames[0]},
        {"map-for-other", {.host = (uint64_t)place, .flags = HOST_MAP, .ref = FIRST, .dom = OWN}, PERMIT, NOBODY, frames[0]},
        {"map-no-frame", {.host = (uint64_t)place, .flags = HOST_MAP, .ref = FIRST, .dom = OWN}, PERMIT, OWN, 0xfffffff0},
        {"map-nowhere-at-all", {.host = 0x1000, .flags = HOST_MAP, .ref = FIRST, .dom = OWN}, PERMIT, OWN, frames[0]},
        {"map-at-hypervisor", {.host = 0xffff830000000000, .flags = HOST_MAP, .ref = FIRST, .dom = OWN}, PERMIT, OWN, frames[0]},
        {"map-into-no-table", {.host = frames[1] * PAGE, .flags = HOST_MAP | CONTAINS_PTE, .ref = FIRST, .dom = OWN}, PERMIT, OWN, frames[0]},
        {"map-into-nothing", {.host = 1ULL << 50, .flags = HOST_MAP | CONTAINS_PTE, .ref = FIRST, .dom = OWN}, PERMIT, OWN, frames[0]},
    };
    for (size_t i = 0; i < sizeof tries / sizeof *tries; i++) {
        permit(FIRST, tries[i].to, tries[i].flags, tries[i].frame);
        tries[i].request.status = 99;
        tell(tries[i].name, map(&tries[i].request));
        RIGHT(v1[FIRST].flags == tries[i].flags);
    }
}

/* A list longer than any batch, with a wrong element in it. */
static void many(void) {
    enum { MANY = 90 };
    static struct map maps[MANY];
    static struct unmap unmaps[MANY];
    permit(FIRST, OWN, PERMIT, frames[0]);
    for (int i = 0; i < MANY; i++) maps[i] = (struct map){.flags = DEVICE_MAP, .ref = i == 50 ? FIRST + 31 : FIRST, .dom = OWN};
    RIGHT(ask(MAP, maps, sizeof *maps, MANY) == 0);
    long sum = 0;
    for (int i = 0; i < MANY; i++) {
        sum += maps[i].status;
        RIGHT((maps[i].status == 0) == (i != 50));
        unmaps[i] = (struct unmap){.bus = maps[i].bus, .handle = maps[i].handle};
    }
    unmaps[50].handle = maps[49].handle;
    unmaps[50].bus = maps[49].bus;
    RIGHT(ask(UNMAP, unmaps, sizeof *unmaps, MANY) == 0);
    for (int i = 0; i < MANY; i++) RIGHT(unmaps[i].status == (i == 50 ? -4 : 0));
    tell("many", sum);
    RIGHT(v1[FIRST].flags == PERMIT);
}

/* The mapping goes, and what was mapped elsewhere comes in its place. */
static void replacing(void) {
    permit(FIRST, OWN, PERMIT, frames[0]);
    struct map one = by_address(FIRST, 0);
    RIGHT(map(&one) == 0);
    strcpy(seen, "granted");
    strcpy(seen + 2 * PAGE, "in its place");
    RIGHT(!strcmp(place, "granted"));
    struct replace request = {.host = (uint64_t)place, .new = (uint64_t)(seen + 2 * PAGE), .handle = one.handle, .status = 99};
    RIGHT(ask(REPLACE, &request, sizeof request, 1) == 0);
    tell("replace", request.status);
    RIGHT(!strcmp(place, "in its place"));
    RIGHT(v1[FIRST].flags == PERMIT);
    request.status = 99;
    RIGHT(ask(REPLACE, &request, sizeof request, 1) == 0);
    tell("replace-again", request.status);
}

/* --- copying --- */

static void copying(void) {
    enum { FROM_REF = 1, TO_REF = 2 };
    permit(FIRST, OWN, PERMIT, frames[0]);
    permit(FIRST + 1, OWN, PERMIT | GTF_READONLY, frames[1]);
    struct end own = {frames[0], SELF, 0}, granted = {FIRST, OWN, 0}, reading = {FIRST + 1, SELF, 0};
    memset(seen, 0, PAGE);
    for (unsigned i = 0; i < PAGE; i++) seen[PAGE + i] = (char)(i * 7);
    tell("copy", copy(reading, granted, 4096, FROM_REF | TO_REF));
    RIGHT(!memcmp(seen, seen + PAGE, PAGE));
    memset(seen, 0, PAGE);
    reading.offset = 3;
    granted.offset = 4001;
    tell("copy-odd", copy(reading, granted, 95, FROM_REF | TO_REF));
    RIGHT(!memcmp(seen + 4001, seen + PAGE + 3, 95) && !seen[4000]);
    own.offset = 1;
    tell("copy-to-own", copy(reading, own, 2, FROM_REF));
    RIGHT(!memcmp(seen + 1, seen + PAGE + 3, 2) && !seen[0] && !seen[3]);
    tell("copy-across-page", copy(reading, granted, 96, FROM_REF | TO_REF));
    tell("copy-offset-beyond", copy((struct end){FIRST + 1, OWN, 5000}, own, 1, FROM_REF));
    tell("copy-to-read-only", copy(own, reading, 8, TO_REF));
    tell("copy-others-frame", copy((struct end){frames[0], OWN, 0}, granted, 8, TO_REF));
    tell("copy-no-frame", copy((struct end){1ULL << 40, SELF, 0}, granted, 8, TO_REF));
    tell("copy-of-nobody", copy((struct end){FIRST, NOBODY, 0}, own, 8, FROM_REF));
    tell("copy-beyond", copy((struct end){1 << 24, OWN, 0}, own, 8, FROM_REF));
    tell("copy-nothing", copy(reading, granted, 0, FROM_REF | TO_REF));
    RIGHT(v1[FIRST].flags == PERMIT && v1[FIRST + 1].flags == (PERMIT | GTF_READONLY));
    struct copy list[40];
    for (int i = 0; i < 40; i++) list[i] = (struct copy){{FIRST + 1, OWN, (uint16_t)i}, {frames[0], SELF, (uint16_t)(100 + i)}, (uint16_t)(i == 20 ? 5000 : 1), FROM_REF, 99};
    RIGHT(ask(COPY, list, sizeof *list, 40) == 0);
    for (int i = 0; i < 40; i++) RIGHT(list[i].status == (i == 20 ? -10 : 0));
    tell("copy-long", list[20].status);
}

/* --- giving --- */

static void giving(void) {
    uint64_t given = new_frame();
    char *there = see(&given, 1);
    strcpy(there, "a gift");
    v1[FIRST] = (struct entry1){ACCEPT, OWN, 0x1234};
    struct transfer request = {.mfn = given, .domid = OWN, .ref = FIRST, .status = 99};
    RIGHT(ask(TRANSFER, &request, sizeof request, 1) == 0);
    tell("transfer-mapped", request.status);
    munmap(there, PAGE);
    request.mfn = 1ULL << 40;
    RIGHT(ask(TRANSFER, &request, sizeof request, 1) == 0);
    tell("transfer-no-frame", request.status);
    v1[FIRST] = (struct entry1){ACCEPT, OWN, 0x1234};
    request.mfn = given;
    RIGHT(ask(TRANSFER, &request, sizeof request, 1) == 0);
    tell("transfer", request.status);
    RIGHT(v1[FIRST].flags == (ACCEPT | COMMITTED | COMPLETED));
    RIGHT(v1[FIRST].frame == given);
    there = see(&given, 1);
    RIGHT(!strcmp(there, "a gift"));
    munmap(there, PAGE);
    request.ref = FIRST;
    RIGHT(ask(TRANSFER, &request, sizeof request, 1) == 0);
    tell("transfer-not-accepted", request.status);
}

/* --- places, versions, caches --- */

static long swap(uint32_t a, uint32_t b) {
    struct swap request = {a, b, 99};
    long result = ask(SWAP, &request, sizeof request, 1);
    return result ? result : request.status;
}

static void swapping(void) {
    permit(FIRST, OWN, PERMIT, frames[0]);
    permit(FIRST + 1, NOBODY, PERMIT | GTF_READONLY, frames[1]);
    tell("swap", swap(FIRST, FIRST + 1));
    RIGHT(v1[FIRST].domid == NOBODY && v1[FIRST].frame == frames[1] && v1[FIRST + 1].flags == PERMIT);
    tell("swap-itself", swap(FIRST, FIRST));
    tell("swap-beyond", swap(FIRST, 1 << 24));
    struct map device = {.flags = DEVICE_MAP, .ref = FIRST + 1, .dom = OWN};
    RIGHT(map(&device) == 0);
    tell("swap-used", swap(FIRST, FIRST + 1));
    RIGHT(unmap(0, device.bus, device.handle) == 0);
}

static long set_version(uint32_t version) {
    return ask(SET_VERSION, &version, sizeof version, 1);
}

static long get_version(uint16_t dom) {
    struct version request = {.dom = dom};
    long result = ask(GET_VERSION, &request, sizeof request, 1);
    return result ? result : (long)request.version;
}

static long status_frames(uint32_t count) {
    struct status_frames request = {.frames = count, .dom = SELF, .status = 99, .list = (uint64_t)(room + PAGE)};
    long result = ask(STATUS_FRAMES, &request, sizeof request, 1);
    return result ? result : request.status;
}

static void versions(void) {
    tell("version-of-nobody", get_version(NOBODY));
    tell("set-version-3", set_version(3));
    tell("status-frames-of-1", status_frames(1));
    permit(FIRST, OWN, PERMIT, frames[0]);
    struct map device = {.flags = DEVICE_MAP, .ref = FIRST, .dom = OWN};
    RIGHT(map(&device) == 0);
    tell("set-version-used", set_version(2));
    RIGHT(unmap(0, device.bus, device.handle) == 0);
    permit(3, OWN, PERMIT, frames[0]);
    tell("set-version-2", set_version(2));
    tell("version", get_version(SELF));
    /* The reserved entries are kept, the others are not. */
    RIGHT(v2[3].flags == PERMIT && v2[3].domid == OWN && v2[3].frame == frames[0]);
    RIGHT(v2[FIRST / 2].flags == 0 && v2[255].flags == 0);
    tell("status-frames-too-many", status_frames(99));
    tell("status-frames", status_frames(1));
    statuses = (volatile uint16_t *)see((uint64_t *)(room + PAGE), 1);
}

static void version_2(void) {
    enum { FROM_REF = 1, TO_REF = 2, REF = 250 };
    v2[REF] = (struct entry2){PERMIT, OWN, 0, 0, frames[0]};
    struct map one = by_address(REF, 0);
    tell("map-2", map(&one));
    RIGHT(statuses[REF] == (READING | WRITING) && v2[REF].flags == PERMIT);
    strcpy(seen, "version 2");
    RIGHT(!strcmp(place, "version 2"));
    tell("set-version-used-2", set_version(1));
    tell("unmap-2", unmap((uint64_t)place, 0, one.handle));
    RIGHT(statuses[REF] == 0);
    struct map beyond = by_address(256, 0);
    tell("map-beyond-2", map(&beyond));
    /* Part of a page can be copied, and not mapped. */
    v2[REF] = (struct entry2){PERMIT | SUB_PAGE, OWN, 100, 50, frames[0]};
    struct map part = by_address(REF, 0);
    tell("map-part", map(&part));
    for (unsigned i = 0; i < PAGE; i++) seen[i] = (char)(i * 5);
    struct end own = {frames[1], SELF, 8};
    tell("copy-part", copy((struct end){REF, OWN, 100}, own, 50, FROM_REF));
    RIGHT(!memcmp(seen + PAGE + 8, seen + 100, 50));
    tell("copy-before-part", copy((struct end){REF, OWN, 99}, own, 2, FROM_REF));
    tell("copy-past-part", copy((struct end){REF, OWN, 100}, own, 51, FROM_REF));
    RIGHT(statuses[REF] == 0);
    /* A transitive grant can not be mapped. */
    v2[REF] = (struct entry2){TRANSITIVE, OWN, OWN, 0, 3};
    struct map through = by_address(REF, 0);
    tell("map-transitive", map(&through));
    v2[REF] = (struct entry2){PERMIT, OWN, 0, 0, frames[0]};
    v2[REF + 1] = (struct entry2){PERMIT, NOBODY, 0, 0, frames[1]};
    tell("swap-2", swap(REF, REF + 1));
    RIGHT(v2[REF].domid == NOBODY && v2[REF + 1].frame == frames[0]);
    uint64_t given = new_frame();
    v2[REF] = (struct entry2){ACCEPT, OWN, 0, 0, 0x1234};
    struct transfer request = {.mfn = given, .domid = OWN, .ref = REF, .status = 99};
    RIGHT(ask(TRANSFER, &request, sizeof request, 1) == 0);
    tell("transfer-2", request.status);
    RIGHT(v2[REF].flags == (ACCEPT | COMMITTED | COMPLETED) && v2[REF].frame == given);
}

static void version_1_again(void) {
    v2[4] = (struct entry2){PERMIT, OWN, 0, 0, 1ULL << 33};
    tell("set-version-wide", set_version(1));
    v2[4] = (struct entry2){TRANSITIVE, OWN, OWN, 0, 3};
    tell("set-version-transitive", set_version(1));
    v2[4] = (struct entry2){0, 0, 0, 0, 0};
    tell("set-version-status-mapped", set_version(1));
    munmap((void *)statuses, PAGE);
    tell("set-version-1", set_version(1));
    RIGHT(v1[3].flags == PERMIT && v1[3].frame == frames[0] && v1[FIRST].flags == 0);
    v1[3].flags = 0;
    tell("version-again", get_version(SELF));
}

static long flush(uint64_t bus, uint16_t offset, uint16_t length, uint32_t op) {
    struct flush request = {bus, offset, length, op};
    return ask(CACHE_FLUSH, &request, sizeof request, 1);
}

static void caches(void) {
    tell("flush", flush(frames[0] * PAGE, 10, 100, 1));
    tell("flush-and-drop", flush(frames[0] * PAGE, 0, 4096, 3));
    tell("flush-drop", flush(frames[0] * PAGE, 0, 64, 2));
    tell("flush-nothing", flush(1ULL << 50, 0, 0, 1));
    tell("flush-long", flush(frames[0] * PAGE, 1, 4096, 1));
    tell("flush-grant", flush(FIRST, 0, 64, 1u | 1u << 31));
    tell("flush-no-frame", flush(1ULL << 50, 0, 64, 1));
    tell("flush-none-owns", flush(PAGE, 0, 64, 1));
}

/* --- frames of others --- */

static long acquire(struct resource request) {
    memcpy(room, &request, sizeof request);
    return hypercall(MEMORY_OP, 28, (uint64_t)room, 0, 0);
}

static long extended(uint32_t command, uint64_t first, uint64_t second, uint64_t of) {
    struct mmuext request = {command, first, second};
    memcpy(room, &request, sizeof request);
    return hypercall(MMUEXT_OP, (uint64_t)room, 1, 0, of);
}

static void others(void) {
    enum { UNPIN = 4, FLUSH_LOCAL = 6, CLEAR = 16, COPY_PAGE = 17 };
    enum { SYSTEM_IO = 0x7ff1, SYSTEM_XEN = 0x7ff2 };
    tell("acquire-own", acquire((struct resource){.domid = OWN, .type = 1, .frames = 1, .list = (uint64_t)(room + PAGE)}));
    tell("acquire-self", acquire((struct resource){.domid = SELF, .type = 1, .frames = 1, .list = (uint64_t)(room + PAGE)}));
    tell("acquire-of-nobody", acquire((struct resource){.domid = NOBODY, .type = 1, .frames = 1, .list = (uint64_t)(room + PAGE)}));
    tell("acquire-padding", acquire((struct resource){.domid = NOBODY, .type = 1, .frames = 1, .pad = 1, .list = (uint64_t)(room + PAGE)}));
    tell("acquire-wide", acquire((struct resource){.domid = NOBODY, .type = 1, .frames = 1, .frame = 1ULL << 32, .list = (uint64_t)(room + PAGE)}));
    strcpy(seen, "to be copied");
    tell("copy-page", extended(COPY_PAGE, frames[1], frames[0], SELF));
    RIGHT(!strcmp(seen + PAGE, "to be copied"));
    tell("clear-page", extended(CLEAR, frames[1], 0, SELF));
    RIGHT(!seen[PAGE]);
    tell("clear-by-number", extended(CLEAR, frames[1], 0, OWN));
    tell("clear-of-nobody", extended(CLEAR, frames[1], 0, NOBODY));
    tell("clear-of-io", extended(CLEAR, frames[1], 0, SYSTEM_IO));
    tell("flush-of-io", extended(FLUSH_LOCAL, 0, 0, SYSTEM_IO));
    tell("unpin-unpinned", extended(UNPIN, frames[1], 0, SELF));
    uint64_t update[2] = {frames[0] * PAGE | 4, 0};
    uint64_t parties[] = {OWN, NOBODY, (NOBODY + 1) << 16 | SELF, 1 << 16 | SELF, SYSTEM_IO, SYSTEM_XEN};
    for (size_t i = 0; i < sizeof parties / sizeof *parties; i++) {
        char name[32];
        snprintf(name, sizeof name, "update-%zu", i);
        memcpy(room, update, sizeof update);
        tell(name, hypercall(MMU_UPDATE, (uint64_t)room, 1, 0, parties[i]));
    }
}

int main(void) {
    privcmd = open("/dev/xen/privcmd", O_RDWR | O_CLOEXEC);
    room = mmap(NULL, 8 * PAGE, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_LOCKED | MAP_POPULATE, -1, 0);
    if (privcmd < 0 || room == MAP_FAILED) return 1;
    for (int i = 0; i < 3; i++) frames[i] = new_frame();
    seen = see(frames, 3);
    place = see(frames + 2, 1);
    tables();
    mapping();
    mapping_refused();
    many();
    copying();
    giving();
    swapping();
    caches();
    others();
    versions();
    version_2();
    version_1_again();
    replacing();
    return bad;
}
