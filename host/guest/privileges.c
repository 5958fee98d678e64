/* privileges: asks the hypervisor for everything that only a control domain may have, and prints each answer.
 *
 * For an unprivileged guest. Each line is `NAME NUMBER DOMAIN = ANSWER`, where the answer is 0 or an errno. It fails if
 * a control operation is granted; which errno each answers is for comparison with real Xen. */
#include <errno.h>
#include <fcntl.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/mman.h>

#define __XEN_TOOLS__
#include <xen/xen.h>
#include <xen/domctl.h>
#include <xen/event_channel.h>
#include <xen/grant_table.h>
#include <xen/memory.h>
#include <xen/physdev.h>
#include <xen/platform.h>
#include <xen/sched.h>
#include <xen/sysctl.h>
#include <xen/sys/privcmd.h>

static int privcmd;
static unsigned char page[4096] __attribute__((aligned(4096)));
/* The other side of what a request asks for: must stay as it is where the request is refused. */
static unsigned char other[4096] __attribute__((aligned(4096)));

static const domid_t targets[] = { 0, DOMID_SELF, 12345 };
#define TARGETS (sizeof targets / sizeof targets[0])

static int hypercall(uint64_t op, uint64_t a0, uint64_t a1, uint64_t a2, uint64_t a3, uint64_t a4)
{
    struct privcmd_hypercall call = { .op = op, .arg = { a0, a1, a2, a3, a4 } };
    int answer = ioctl(privcmd, IOCTL_PRIVCMD_HYPERCALL, &call);
    return answer < 0 ? -errno : answer;
}

/* Control operations that were granted. */
static unsigned granted;

static void tell_control(const char *name, unsigned number, unsigned domain, int answer)
{
    printf("%s %u %u = %d%s\n", name, number, domain, answer, answer < 0 ? "" : " GRANTED");
    granted += answer >= 0;
}

static void tell(const char *name, unsigned number, unsigned domain, int answer)
{
    printf("%s %u %u = %d\n", name, number, domain, answer);
}

static uint64_t address(void *of)
{
    return (uintptr_t)of;
}

static void domctls(void)
{
    struct xen_domctl *request = (void *)page;
    for (unsigned command = 1; command <= 90; command++)
        for (unsigned i = 0; i < TARGETS; i++) {
            memset(page, 0, sizeof page);
            request->cmd = command;
            request->interface_version = XEN_DOMCTL_INTERFACE_VERSION;
            request->domain = targets[i];
            tell_control("domctl", command, targets[i], hypercall(__HYPERVISOR_domctl, address(page), 0, 0, 0, 0));
        }
}

static void sysctls(void)
{
    struct xen_sysctl *request = (void *)page;
    for (unsigned command = 1; command <= 32; command++) {
        memset(page, 0, sizeof page);
        request->cmd = command;
        request->interface_version = XEN_SYSCTL_INTERFACE_VERSION;
        tell_control("sysctl", command, 0, hypercall(__HYPERVISOR_sysctl, address(page), 0, 0, 0, 0));
    }
}

static void platform_ops(void)
{
    struct xen_platform_op *request = (void *)page;
    for (unsigned command = 1; command <= 66; command++) {
        memset(page, 0, sizeof page);
        request->cmd = command;
        request->interface_version = XENPF_INTERFACE_VERSION;
        tell_control("platform_op", command, 0, hypercall(__HYPERVISOR_platform_op, address(page), 0, 0, 0, 0));
    }
}

/* Other domains' memory. */
static void memory_ops(void)
{
    for (unsigned i = 0; i < TARGETS; i++) {
        domid_t target = targets[i];
        if (target == DOMID_SELF)
            continue; /* A guest may change its own reservation; that is tested elsewhere. */
        static const unsigned reservations[] = { XENMEM_increase_reservation, XENMEM_decrease_reservation, XENMEM_populate_physmap };
        for (unsigned n = 0; n < 3; n++) {
            struct xen_memory_reservation *request = (void *)page;
            memset(page, 0, sizeof page);
            set_xen_guest_handle(request->extent_start, (xen_pfn_t *)other);
            request->nr_extents = 1;
            request->domid = target;
            tell("memory_op", reservations[n], target, hypercall(__HYPERVISOR_memory_op, reservations[n], address(page), 0, 0, 0));
        }
        static const unsigned domains[] = { XENMEM_current_reservation, XENMEM_maximum_reservation, XENMEM_maximum_gpfn };
        for (unsigned n = 0; n < 3; n++) {
            memset(page, 0, sizeof page);
            *(domid_t *)page = target;
            tell("memory_op", domains[n], target, hypercall(__HYPERVISOR_memory_op, domains[n], address(page), 0, 0, 0));
        }
        struct xen_add_to_physmap *add = (void *)page;
        memset(page, 0, sizeof page);
        add->domid = target;
        add->space = XENMAPSPACE_gmfn_foreign;
        tell("memory_op", XENMEM_add_to_physmap, target, hypercall(__HYPERVISOR_memory_op, XENMEM_add_to_physmap, address(page), 0, 0, 0));
        add->space = XENMAPSPACE_grant_table;
        tell("memory_op", XENMEM_add_to_physmap, target, hypercall(__HYPERVISOR_memory_op, XENMEM_add_to_physmap, address(page), 0, 0, 0));
        struct xen_mem_acquire_resource *acquire = (void *)page;
        memset(page, 0, sizeof page);
        acquire->domid = target;
        acquire->type = XENMEM_resource_grant_table;
        tell("memory_op", XENMEM_acquire_resource, target, hypercall(__HYPERVISOR_memory_op, XENMEM_acquire_resource, address(page), 0, 0, 0));
        struct xen_foreign_memory_map *map = (void *)page;
        memset(page, 0, sizeof page);
        map->domid = target;
        tell("memory_op", XENMEM_set_memory_map, target, hypercall(__HYPERVISOR_memory_op, XENMEM_set_memory_map, address(page), 0, 0, 0));
        memset(page, 0, sizeof page);
        ((struct xen_memory_reservation *)page)->domid = target;
        tell("memory_op", XENMEM_claim_pages, target, hypercall(__HYPERVISOR_memory_op, XENMEM_claim_pages, address(page), 0, 0, 0));
    }
    memset(page, 0, sizeof page);
    tell("memory_op", XENMEM_machine_memory_map, 0, hypercall(__HYPERVISOR_memory_op, XENMEM_machine_memory_map, address(page), 0, 0, 0));
}

/* Other domains' page tables and frames. */
static void foreign(void)
{
    for (unsigned i = 0; i < TARGETS; i++) {
        domid_t target = targets[i];
        if (target == DOMID_SELF)
            continue;
        for (unsigned kind = 0; kind < 3; kind++) {
            struct mmu_update *update = (void *)page;
            memset(page, 0, sizeof page);
            update->ptr = (1 << 20) | kind;
            update->val = (1 << 20) | 1;
            tell("mmu_update-frames-of", kind, target, hypercall(__HYPERVISOR_mmu_update, address(page), 1, 0, target, 0));
            tell("mmu_update-tables-of", kind, target, hypercall(__HYPERVISOR_mmu_update, address(page), 1, 0, (target + 1u) << 16, 0));
        }
        for (unsigned command = 0; command <= 20; command++) {
            struct mmuext_op *op = (void *)page;
            memset(page, 0, sizeof page);
            op->cmd = command;
            op->arg1.mfn = 1 << 8;
            tell("mmuext_op", command, target, hypercall(__HYPERVISOR_mmuext_op, address(page), 1, 0, target, 0));
        }
        tell("update_va_mapping_otherdomain", 0, target, hypercall(__HYPERVISOR_update_va_mapping_otherdomain, address(other) & ~4095ul, 0, 0, target, 0));
    }
    /* I/O memory and the hypervisor's own. */
    for (unsigned i = 0; i < 2; i++) {
        domid_t pseudo = i ? DOMID_XEN : DOMID_IO;
        struct mmu_update *update = (void *)page;
        memset(page, 0, sizeof page);
        update->ptr = 1 << 20;
        tell("mmu_update-frames-of", 0, pseudo, hypercall(__HYPERVISOR_mmu_update, address(page), 1, 0, pseudo, 0));
    }
}

static void grants_and_events(void)
{
    for (unsigned i = 0; i < TARGETS; i++) {
        domid_t target = targets[i];
        if (target == DOMID_SELF)
            continue;
        struct gnttab_setup_table *setup = (void *)page;
        memset(page, 0, sizeof page);
        setup->dom = target;
        setup->nr_frames = 1;
        set_xen_guest_handle(setup->frame_list, (xen_pfn_t *)other);
        int answer = hypercall(__HYPERVISOR_grant_table_op, GNTTABOP_setup_table, address(page), 1, 0, 0);
        tell("grant-setup", answer, target, setup->status);
        struct gnttab_query_size *size = (void *)page;
        memset(page, 0, sizeof page);
        size->dom = target;
        answer = hypercall(__HYPERVISOR_grant_table_op, GNTTABOP_query_size, address(page), 1, 0, 0);
        tell("grant-size", answer, target, size->status);
        struct gnttab_map_grant_ref *map = (void *)page;
        memset(page, 0, sizeof page);
        map->dom = target;
        map->ref = 100;
        map->flags = GNTMAP_host_map;
        map->host_addr = address(other);
        answer = hypercall(__HYPERVISOR_grant_table_op, GNTTABOP_map_grant_ref, address(page), 1, 0, 0);
        tell("grant-map", answer, target, map->status);

        struct evtchn_alloc_unbound *unbound = (void *)page;
        memset(page, 0, sizeof page);
        unbound->dom = target;
        tell("evtchn-alloc-unbound", 0, target, hypercall(__HYPERVISOR_event_channel_op, EVTCHNOP_alloc_unbound, address(page), 0, 0, 0));
        struct evtchn_bind_interdomain *bind = (void *)page;
        memset(page, 0, sizeof page);
        bind->remote_dom = target;
        bind->remote_port = 30;
        tell("evtchn-bind", 0, target, hypercall(__HYPERVISOR_event_channel_op, EVTCHNOP_bind_interdomain, address(page), 0, 0, 0));
        struct evtchn_status *status = (void *)page;
        memset(page, 0, sizeof page);
        status->dom = target;
        status->port = 1;
        tell("evtchn-status", 0, target, hypercall(__HYPERVISOR_event_channel_op, EVTCHNOP_status, address(page), 0, 0, 0));
        struct evtchn_reset *reset = (void *)page;
        memset(page, 0, sizeof page);
        reset->dom = target;
        tell("evtchn-reset", 0, target, hypercall(__HYPERVISOR_event_channel_op, EVTCHNOP_reset, address(page), 0, 0, 0));
        struct sched_remote_shutdown *shutdown = (void *)page;
        memset(page, 0, sizeof page);
        shutdown->domain_id = target;
        tell("remote-shutdown", 0, target, hypercall(__HYPERVISOR_sched_op, SCHEDOP_remote_shutdown, address(page), 0, 0, 0));
    }
    struct evtchn_bind_virq *virq = (void *)page;
    for (unsigned number = 0; number < 24; number++) {
        /* Those of the vCPU's own timer, debugging and tracing belong to everybody. */
        if (number == VIRQ_TIMER || number == VIRQ_DEBUG)
            continue;
        memset(page, 0, sizeof page);
        virq->virq = number;
        tell("evtchn-bind-virq", number, 0, hypercall(__HYPERVISOR_event_channel_op, EVTCHNOP_bind_virq, address(page), 0, 0, 0));
    }
    struct evtchn_bind_pirq *pirq = (void *)page;
    memset(page, 0, sizeof page);
    pirq->pirq = 4;
    tell("evtchn-bind-pirq", 4, 0, hypercall(__HYPERVISOR_event_channel_op, EVTCHNOP_bind_pirq, address(page), 0, 0, 0));
}

/* Devices, the console, and what is left. */
static void machine(void)
{
    for (unsigned command = 0; command <= 32; command++) {
        memset(page, 0, sizeof page);
        if (command == PHYSDEVOP_set_iopl || command == PHYSDEVOP_set_iobitmap)
            continue; /* Everybody's: its effect is on the caller's ports, of which it has none. */
        tell("physdev_op", command, 0, hypercall(__HYPERVISOR_physdev_op, command, address(page), 0, 0, 0));
    }
    tell("console_io-read", 1, 0, hypercall(__HYPERVISOR_console_io, 1, 16, address(page), 0, 0));
    tell("kexec_op", 0, 0, hypercall(__HYPERVISOR_kexec_op, 0, address(page), 0, 0, 0));
    tell("xsm_op", 0, 0, hypercall(__HYPERVISOR_xsm_op, address(page), 0, 0, 0, 0));
    tell("hypfs_op", 1, 0, hypercall(42, 1, address(page), 16, address(other), 16));
    tell("dm_op", 0, 0, hypercall(41, 0, 0, 0, 0, 0));
    tell("hvm_op", 0, 0, hypercall(__HYPERVISOR_hvm_op, 0, address(page), 0, 0, 0));
    tell("nmi_op", 0, 0, hypercall(__HYPERVISOR_nmi_op, 0, address(page), 0, 0, 0));
    for (unsigned number = 43; number <= 63; number++)
        tell("hypercall", number, 0, hypercall(number, address(page), 0, 0, 0, 0));
}

int main(void)
{
    privcmd = open("/dev/xen/privcmd", O_RDWR | O_CLOEXEC);
    if (privcmd < 0 || mlockall(MCL_CURRENT | MCL_FUTURE)) {
        perror("privileges");
        return 1;
    }
    if (hypercall(__HYPERVISOR_xen_version, 0, 0, 0, 0, 0) <= 0) {
        printf("hypercalls do not reach the hypervisor\n");
        return 1;
    }
    memset(other, 0xff, sizeof other);
    domctls();
    sysctls();
    platform_ops();
    memory_ops();
    foreign();
    grants_and_events();
    machine();
    for (unsigned i = 0; i < sizeof other; i++)
        if (other[i] != 0xff) {
            printf("a refused request wrote\n");
            return 1;
        }
    printf("%u control operations were granted\n", granted);
    return granted != 0;
}
