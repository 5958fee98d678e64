/* halves N [SEED [LOST]]: builds N domains, each up to a random point and partly wrong, and destroys each wherever it stands, some while
 * their frames are still mapped here. Prints how far they came; fails if a domain stays, or more than LOST frames are lost (0). */
#define _GNU_SOURCE
#include <errno.h>
#include <fcntl.h>
#include <sched.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <sys/wait.h>
#include <unistd.h>

#define __XEN_TOOLS__
#include <xen/xen.h>
#include <xen/domctl.h>
#include <xen/event_channel.h>
#include <xen/memory.h>
#include <xen/sysctl.h>
#include <xen/sys/privcmd.h>

enum { MOST_FRAMES = 1024, PRESENT = 1, WRITABLE = 2, USER = 4, GOOD = PRESENT | WRITABLE | USER };

/* What the hypervisor reads and writes; locked, as it must not be paged out meanwhile. */
static union {
    struct xen_domctl domctl;
    struct xen_sysctl sysctl;
    struct xen_memory_reservation reservation;
    struct evtchn_alloc_unbound unbound;
    struct mmuext_op extended;
    unsigned char page[4096];
} request __attribute__((aligned(4096)));
static xen_pfn_t frames[MOST_FRAMES] __attribute__((aligned(4096)));
static struct vcpu_guest_context context __attribute__((aligned(4096)));

static int privcmd;
static uint16_t domain;
static unsigned count;
/* Pages of what `build` left mapped. */
static unsigned left_mapped;
static unsigned long done[16];
static const char *const names[16] = { "created", "vcpus", "limited", "claimed", "populated", "mapped", "pinned", "refused-pin",
    "set-up", "refused-context", "started", "channels", "returned", "destroyed-mapped" };
enum { CREATED, VCPUS, LIMITED, CLAIMED, POPULATED, MAPPED, PINNED, REFUSED_PIN, SET_UP, REFUSED_CONTEXT, STARTED, CHANNELS,
    RETURNED, DESTROYED_MAPPED };

static uint64_t state;
/* A number below `below`. */
static unsigned random_below(unsigned below)
{
    state = state * 6364136223846793005u + 1442695040888963407u;
    return (unsigned)((state >> 33) % below);
}

static long hypercall(uint64_t op, uint64_t a, uint64_t b, uint64_t c, uint64_t d)
{
    struct privcmd_hypercall call = { .op = op, .arg = { a, b, c, d } };
    long result = ioctl(privcmd, IOCTL_PRIVCMD_HYPERCALL, &call);
    return result < 0 ? -errno : result;
}

static long domctl(uint32_t command)
{
    request.domctl.cmd = command;
    request.domctl.interface_version = XEN_DOMCTL_INTERFACE_VERSION;
    request.domctl.domain = domain;
    return hypercall(__HYPERVISOR_domctl, (uintptr_t)&request, 0, 0, 0);
}

static long frames_free(void)
{
    memset(&request, 0, sizeof request);
    request.sysctl.cmd = XEN_SYSCTL_physinfo;
    request.sysctl.interface_version = XEN_SYSCTL_INTERFACE_VERSION;
    if (hypercall(__HYPERVISOR_sysctl, (uintptr_t)&request, 0, 0, 0))
        return -1;
    return (long)(request.sysctl.u.physinfo.free_pages + request.sysctl.u.physinfo.scrub_pages);
}

static long reservation(unsigned op, xen_pfn_t *list, unsigned extents, unsigned order)
{
    memset(&request, 0, sizeof request);
    set_xen_guest_handle(request.reservation.extent_start, list);
    request.reservation.nr_extents = extents;
    request.reservation.extent_order = order;
    request.reservation.domid = domain;
    return hypercall(__HYPERVISOR_memory_op, op, (uintptr_t)&request, 0, 0);
}

/* Maps the domain's first `pages` frames here, writable. */
static void *map(unsigned pages)
{
    static int errors[MOST_FRAMES];
    void *at = mmap(NULL, pages * 4096ul, PROT_READ | PROT_WRITE, MAP_SHARED, privcmd, 0);
    struct privcmd_mmapbatch_v2 batch = { .num = pages, .dom = domain, .addr = (uintptr_t)at, .arr = frames, .err = errors };
    if (at == MAP_FAILED)
        return NULL;
    if (ioctl(privcmd, IOCTL_PRIVCMD_MMAPBATCH_V2, &batch)) {
        munmap(at, pages * 4096ul);
        return NULL;
    }
    return at;
}

static int create(void)
{
    memset(&request, 0, sizeof request);
    struct xen_domctl_createdomain *plan = &request.domctl.u.createdomain;
    plan->max_vcpus = 1 + random_below(random_below(4) ? 4 : 64);
    plan->max_evtchn_port = 1023;
    plan->max_grant_frames = 1 + (int)random_below(64);
    plan->max_maptrack_frames = (int)random_below(64);
    plan->grant_opts = 1 + random_below(2);
    unsigned vcpus = plan->max_vcpus;
    domain = 0;
    if (domctl(XEN_DOMCTL_createdomain))
        return -1;
    domain = request.domctl.domain;
    done[CREATED]++;
    return (int)vcpus;
}

static void populate(void)
{
    unsigned wanted = 1 + random_below(MOST_FRAMES);
    if (random_below(3) == 0) {
        memset(&request, 0, sizeof request);
        request.reservation.nr_extents = wanted;
        request.reservation.domid = domain;
        done[CLAIMED] += hypercall(__HYPERVISOR_memory_op, XENMEM_claim_pages, (uintptr_t)&request, 0, 0) == 0;
    }
    for (unsigned i = 0; i < wanted; i++)
        frames[i] = i;
    long got = reservation(XENMEM_populate_physmap, frames, wanted, 0);
    count = got > 0 ? (unsigned)got : 0;
    done[POPULATED] += count;
}

/* Makes frames 0 to 3 a tree of tables, L4 first, that maps some of the others; now and then with something wrong in it. */
static void write_tables(uint64_t (*table)[512])
{
    for (int level = 0; level < 4; level++)
        memset(table[level], 0, 4096);
    for (int level = 0; level < 3; level++)
        table[level][random_below(256)] = frames[level + 1] << 12 | GOOD;
    for (unsigned i = 4; i < count && i < 512; i++)
        table[3][i] = frames[i] << 12 | GOOD;
    switch (random_below(6)) {
    case 0: /* A writable mapping of a table. */
        table[3][0] = frames[random_below(4)] << 12 | GOOD;
        break;
    case 1: /* A frame of whoever it may be. */
        table[3][1] = (uint64_t)random_below(1 << 18) << 12 | GOOD;
        break;
    case 2: /* The same table at two levels. */
        table[1][511] = frames[3] << 12 | GOOD;
        table[0][3] = frames[3] << 12 | GOOD;
        break;
    case 3: /* A linear entry. */
        table[0][4] = frames[0] << 12 | PRESENT | USER;
        break;
    default:
        break;
    }
}

static void pin(void)
{
    memset(&request, 0, sizeof request);
    request.extended.cmd = MMUEXT_PIN_L4_TABLE;
    request.extended.arg1.mfn = frames[0];
    long result = hypercall(__HYPERVISOR_mmuext_op, (uintptr_t)&request, 1, 0, domain);
    done[result ? REFUSED_PIN : PINNED]++;
}

static void set_up(void)
{
    memset(&context, 0, sizeof context);
    context.flags = VGCF_in_kernel | VGCF_online;
    context.ctrlreg[3] = xen_pfn_to_cr3(frames[random_below(5) ? 0 : random_below(count)]);
    context.user_regs.rip = 0x1000 * random_below(1 << 20);
    context.user_regs.rsp = 0x8000;
    context.user_regs.rflags = 1 << 9;
    if (random_below(4) == 0) {
        context.gdt_frames[0] = frames[random_below(count)];
        context.gdt_ents = 1 + random_below(512);
    }
    memset(&request, 0, sizeof request);
    set_xen_guest_handle(request.domctl.u.vcpucontext.ctxt, &context);
    done[domctl(XEN_DOMCTL_setvcpucontext) ? REFUSED_CONTEXT : SET_UP]++;
}

static void channels(void)
{
    for (unsigned i = random_below(40); i > 0; i--) {
        memset(&request, 0, sizeof request);
        request.unbound.dom = domain;
        request.unbound.remote_dom = 0;
        done[CHANNELS] += hypercall(__HYPERVISOR_event_channel_op, EVTCHNOP_alloc_unbound, (uintptr_t)&request, 0, 0) == 0;
    }
}

/* Builds on until chance says stop. Returns what is still mapped, if anything. */
static void *build(int vcpus)
{
    void *mapped = NULL;
    unsigned pages = 0;
    count = 0;
    if (random_below(12) == 0)
        return NULL;
    memset(&request, 0, sizeof request);
    request.domctl.u.max_vcpus.max = (uint32_t)vcpus;
    done[VCPUS] += domctl(XEN_DOMCTL_max_vcpus) == 0;
    memset(&request, 0, sizeof request);
    request.domctl.u.max_mem.max_memkb = 4 * (random_below(8) ? MOST_FRAMES : 10);
    done[LIMITED] += domctl(XEN_DOMCTL_max_mem) == 0;
    if (random_below(12) == 0)
        return NULL;
    populate();
    channels();
    if (count < 8 || random_below(8) == 0)
        return NULL;
    pages = 4 + random_below(count - 4);
    mapped = map(pages);
    if (!mapped)
        return NULL;
    done[MAPPED]++;
    write_tables(mapped);
    if (random_below(4)) {
        /* A table can be none while it is mapped writable. */
        munmap(mapped, pages * 4096ul);
        mapped = NULL;
        pin();
        set_up();
        if (random_below(2)) {
            memset(&request, 0, sizeof request);
            done[STARTED] += domctl(XEN_DOMCTL_unpausedomain) == 0;
            usleep(random_below(3000));
        }
        if (random_below(3) == 0) {
            long got = reservation(XENMEM_decrease_reservation, frames, 1 + random_below(count), 0);
            done[RETURNED] += got > 0 ? (unsigned long)got : 0;
        }
        return NULL;
    }
    pin();
    left_mapped = pages;
    return mapped;
}

static int is_there(void)
{
    memset(&request, 0, sizeof request);
    return domctl(XEN_DOMCTL_getdomaininfo) == 0 && request.domctl.domain == domain;
}

/* Changes page tables on every vCPU. Xen takes back what a refused pin had begun only when the vCPU that asked for it asks for
 * something about tables again, and till then a domain may stay. */
static void change_tables(void)
{
    cpu_set_t all, one;
    if (sched_getaffinity(0, sizeof all, &all))
        return;
    for (int cpu = 0; cpu < CPU_SETSIZE; cpu++) {
        if (!CPU_ISSET(cpu, &all))
            continue;
        CPU_ZERO(&one);
        CPU_SET(cpu, &one);
        sched_setaffinity(0, sizeof one, &one);
        pid_t child = fork();
        if (child == 0)
            _exit(0);
        waitpid(child, NULL, 0);
    }
    sched_setaffinity(0, sizeof all, &all);
}

static int one(void)
{
    int vcpus = create();
    if (vcpus < 0) {
        perror("createdomain");
        return -1;
    }
    void *mapped = build(vcpus);
    memset(&request, 0, sizeof request);
    long result = domctl(XEN_DOMCTL_destroydomain);
    if (result) {
        fprintf(stderr, "destroydomain: %ld\n", result);
        return -1;
    }
    if (mapped) {
        done[DESTROYED_MAPPED]++;
        if (!is_there()) {
            fprintf(stderr, "domain %u is gone while its frames are mapped\n", domain);
            return -1;
        }
        munmap(mapped, left_mapped * 4096ul);
    }
    for (int tries = 0; is_there(); tries++) {
        if (tries == 3000) {
            fprintf(stderr, "domain %u stays\n", domain);
            return -1;
        }
        if (tries % 100 == 20)
            change_tables();
        usleep(10000);
    }
    return 0;
}

int main(int argc, char **argv)
{
    unsigned long rounds = argc > 1 ? strtoul(argv[1], NULL, 0) : 100;
    state = argc > 2 ? strtoull(argv[2], NULL, 0) : 1;
    long most_lost = argc > 3 ? strtol(argv[3], NULL, 0) : 0;
    privcmd = open("/dev/xen/privcmd", O_RDWR | O_CLOEXEC);
    if (privcmd < 0 || mlockall(MCL_CURRENT | MCL_FUTURE)) {
        perror("halves");
        return 1;
    }
    /* Whatever the first rounds leave in place for later ones is no loss. */
    for (int i = 0; i < 20; i++)
        if (one())
            return 1;
    /* What a dead domain had is free only when every CPU has noticed. */
    usleep(500000);
    long before = frames_free();
    for (unsigned long i = 0; i < rounds; i++)
        if (one())
            return 1;
    long after = frames_free();
    for (int tries = 0; after != before && tries < 200; tries++) {
        usleep(10000);
        after = frames_free();
    }
    for (unsigned i = 0; i < 16 && names[i]; i++)
        printf("%s=%lu\n", names[i], done[i]);
    printf("free=%ld before, %ld after\n", before, after);
    return before - after > most_lost;
}
