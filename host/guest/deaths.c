/* deaths KERNEL N [SEED [EVERY]]: N guests that share memory with each other and with a neighbour are killed at random moments, one or two at a
 * time, half of them while this program still maps a page of theirs. After every EVERY deaths (25) nobody but the neighbour is left;
 * then no frame may be missing, the hypervisor's audit must find nothing, and the neighbour must have gone on. Guests are built by
 * libxenguest, as xl does it, but by one process, so that a thousand deaths take minutes. */
#include <stdarg.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <time.h>
#include <unistd.h>

#include <xenctrl.h>
#include <xenforeignmemory.h>
#include <xenguest.h>
#include <xen/io/console.h>
#include <xen/sys/privcmd.h>
#include <fcntl.h>
#include <sys/ioctl.h>

enum { VICTIMS = 2, MEGABYTES = 16, PATIENCE = 10, LINE = 256, MOST_DOMAINS = 64 };

/* A guest that runs. */
struct guest {
    uint32_t id; /* 0 for none */
    struct xencons_interface *ring;
    char line[LINE];
    unsigned length, beats;
};

static xc_interface *xc;
static xenforeignmemory_handle *mappings;
static const char *kernel;
static struct guest neighbour, victims[VICTIMS];
static uint64_t state;

static void __attribute__((noreturn, format(printf, 1, 2))) fail(const char *format, ...)
{
    va_list rest;
    va_start(rest, format);
    vprintf(format, rest);
    va_end(rest);
    printf("\n");
    exit(1);
}

/* A number below `below`. */
static unsigned random_below(unsigned below)
{
    state = state * 6364136223846793005u + 1442695040888963407u;
    return (unsigned)((state >> 33) % below);
}

/* Takes what the guest has said; fails if it found a mistake. */
static void listen(struct guest *guest)
{
    struct xencons_interface *ring = guest->ring;
    XENCONS_RING_IDX at = ring->out_cons, end = __atomic_load_n(&ring->out_prod, __ATOMIC_ACQUIRE);
    for (; at != end; at++) {
        char said = ring->out[MASK_XENCONS_IDX(at, ring->out)];
        if (said != '\n') {
            if (guest->length < LINE - 1)
                guest->line[guest->length++] = said;
            continue;
        }
        guest->line[guest->length] = 0;
        guest->length = 0;
        if (strstr(guest->line, "panic"))
            fail("domain %u: %s", guest->id, guest->line);
        if (strstr(guest->line, "beat"))
            guest->beats++;
    }
    __atomic_store_n(&ring->out_cons, at, __ATOMIC_RELEASE);
}

/* Builds a guest with this command line, and lets it run. */
static void start(struct guest *guest, const char *options)
{
    struct xen_domctl_createdomain config = {
        .max_vcpus = 1, .max_evtchn_port = -1, .max_grant_frames = 32, .max_maptrack_frames = 64,
        .grant_opts = XEN_DOMCTL_GRANT_version(2),
    };
    memset(guest, 0, sizeof *guest);
    if (xc_domain_create(xc, &guest->id, &config))
        fail("no domain");
    struct xc_dom_image *image = xc_dom_allocate(xc, options, NULL);
    if (!image || xc_domain_max_vcpus(xc, guest->id, 1) || xc_domain_setmaxmem(xc, guest->id, (MEGABYTES + 1) << 10))
        fail("no image");
    image->container_type = XC_DOM_PV_CONTAINER;
    image->console_evtchn = xc_evtchn_alloc_unbound(xc, guest->id, 0);
    image->xenstore_evtchn = xc_evtchn_alloc_unbound(xc, guest->id, 0);
    if (xc_dom_kernel_file(image, kernel) || xc_dom_boot_xen_init(image, xc, guest->id) || xc_dom_parse_image(image)
        || xc_dom_mem_init(image, MEGABYTES) || xc_dom_boot_mem_init(image) || xc_dom_build_image(image)
        || xc_dom_boot_image(image) || xc_dom_gnttab_init(image))
        fail("domain %u is not built", guest->id);
    xen_pfn_t console = xc_dom_p2m(image, image->console_pfn);
    guest->ring = xenforeignmemory_map(mappings, guest->id, PROT_READ | PROT_WRITE, 1, &console, NULL);
    if (!guest->ring)
        fail("the console of domain %u is not mapped", guest->id);
    xc_dom_release(image);
    if (xc_domain_unpause(xc, guest->id))
        fail("domain %u does not run", guest->id);
}

static void kill_guest(struct guest *guest)
{
    bool first = random_below(2);
    listen(guest);
    if (first)
        xenforeignmemory_unmap(mappings, guest->ring, 1);
    if (xc_domain_destroy(xc, guest->id))
        fail("domain %u does not die", guest->id);
    if (!first)
        xenforeignmemory_unmap(mappings, guest->ring, 1);
    guest->id = 0;
}

/* Frames of nobody and of domains, together; and how many domains there are. */
static uint64_t frames(int *domains)
{
    xc_physinfo_t machine = { 0 };
    static xc_domaininfo_t list[MOST_DOMAINS];
    *domains = xc_domain_getinfolist(xc, 0, MOST_DOMAINS, list);
    if (xc_physinfo(xc, &machine) || *domains < 0)
        fail("the machine does not say what it has");
    uint64_t all = machine.free_pages + machine.scrub_pages;
    for (int i = 0; i < *domains; i++)
        all += list[i].tot_pages;
    return all;
}

static double now(void)
{
    struct timespec time;
    clock_gettime(CLOCK_MONOTONIC, &time);
    return (double)time.tv_sec + (double)time.tv_nsec / 1e9;
}

/* Waits until nobody but dom0 and the neighbour is there and there are `wanted` frames of nobody and of these (0 for any number), or
 * until it takes too long. How many there are then. The last of a dead domain goes when each CPU has forgotten it. */
static uint64_t frames_of_the_living(uint64_t wanted)
{
    int domains;
    double began = now();
    for (;;) {
        uint64_t all = frames(&domains);
        bool late = now() - began > PATIENCE;
        if (domains == 2 && (!wanted || all == wanted || late))
            return all;
        if (late) {
            xc_send_debug_keys(xc, "q");
            system("xl dmesg | tail -n 40 | grep '^(XEN)'");
            fail("%d domains are still there", domains);
        }
        listen(&neighbour);
        usleep(2000);
    }
}

/* Xenocryst's own call; Xen answers that there is none. */
static void audit(void)
{
    static int privcmd = -1;
    if (privcmd < 0)
        privcmd = open("/dev/xen/privcmd", O_RDWR | O_CLOEXEC);
    struct privcmd_hypercall call = { .op = __HYPERVISOR_arch_7, .arg = { 0, 0 } };
    int found = ioctl(privcmd, IOCTL_PRIVCMD_HYPERCALL, &call);
    if (found > 0)
        fail("the audit finds %d discrepancies", found);
}

static void await_beat(void)
{
    double began = now();
    for (unsigned before = neighbour.beats; neighbour.beats == before; usleep(2000)) {
        listen(&neighbour);
        if (now() - began > PATIENCE)
            fail("the neighbour does not go on");
    }
}

/* Starts those that are missing, lets them run for a random time, and kills some. How many. */
static unsigned round_of_deaths(bool everybody)
{
    char options[128];
    const char *strict = getenv("DEATHS_STRICT") ? "strict" : "";
    for (struct guest *guest = victims; guest < victims + VICTIMS; guest++) {
        if (guest->id || (guest != victims && random_below(3) == 0))
            continue;
        snprintf(options, sizeof options, "ops=all %s peer=%u seed=%u beat=100000", strict, neighbour.id, random_below(1 << 30));
        start(guest, options);
    }
    usleep(random_below(60000));
    listen(&neighbour);
    unsigned killed = 0, which = random_below(VICTIMS);
    for (unsigned i = 0; i < VICTIMS; i++, which = (which + 1) % VICTIMS) {
        struct guest *guest = &victims[which];
        if (!guest->id || (!everybody && killed && random_below(2)))
            continue;
        kill_guest(guest);
        killed++;
    }
    return killed;
}

int main(int argc, char **argv)
{
    if (argc < 3)
        fail("deaths KERNEL N [SEED [EVERY]]");
    kernel = argv[1];
    unsigned wanted = atoi(argv[2]), every = argc > 4 ? atoi(argv[4]) : 25, killed = 0, audits = 0;
    state = argc > 3 ? strtoull(argv[3], NULL, 0) : 1;
    setvbuf(stdout, NULL, _IOLBF, 0);
    xc = xc_interface_open(NULL, NULL, 0);
    mappings = xenforeignmemory_open(NULL, 0);
    if (!xc || !mappings)
        fail("no hypervisor");
    start(&neighbour, "ops=all steady seed=1 beat=1000");
    await_beat();
    /* What dom0 and the hypervisor keep of the first does not count. */
    while (killed < 4)
        killed += round_of_deaths(true);
    /* There are never so many: all the time there is for settling is taken. */
    uint64_t at_first = frames_of_the_living(UINT64_MAX);
    killed = 0;
    unsigned checked = 0;
    while (killed < wanted) {
        bool everybody = killed + VICTIMS >= wanted || killed - checked + VICTIMS >= every;
        killed += round_of_deaths(everybody);
        if (!everybody)
            continue;
        checked = killed;
        /* Xen's own heap keeps some frames, and may get some back. */
        bool exact = getenv("DEATHS_STRICT");
        uint64_t all = frames_of_the_living(exact ? at_first : 0);
        if (exact ? all != at_first : all + 2048 < at_first)
            fail("after %u deaths: %llu frames, at first %llu", killed, (unsigned long long)all, (unsigned long long)at_first);
        audit();
        await_beat();
        audits++;
        if (audits % 8 == 0)
            printf("%u deaths, %.1f s\n", killed, now());
    }
    printf("%u deaths, seen to %u times; the neighbour told of itself %u times\n", killed, audits, neighbour.beats);
    kill_guest(&neighbour);
    return 0;
}
