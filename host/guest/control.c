/* control: what dom0 asks of a paused guest, and of itself, that no tool of xl's does without devices to give away.
 *
 * `control DOMAIN`. Each line is `NAME NUMBER DOMAIN = ANSWER` as `privileges` prints it; DOMAIN is 0 for dom0 and 1 for
 * the guest, whatever its number is. Afterwards the guest has lost its vCPU's state and cannot run. */
#include <errno.h>
#include <fcntl.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/mman.h>

#define __XEN_TOOLS__
#include <xen/xen.h>
#include <xen/domctl.h>
#include <xen/memory.h>
#include <xen/sys/privcmd.h>

static int privcmd;
static domid_t guest;
static struct xen_domctl request __attribute__((aligned(4096)));
static vcpu_guest_context_t context __attribute__((aligned(4096)));
static xen_pfn_t extent __attribute__((aligned(64)));

static int hypercall(uint64_t op, uint64_t a0, uint64_t a1)
{
    struct privcmd_hypercall call = { .op = op, .arg = { a0, a1 } };
    int answer = ioctl(privcmd, IOCTL_PRIVCMD_HYPERCALL, &call);
    return answer < 0 ? -errno : answer;
}

static void prepare(void)
{
    memset(&request, 0, sizeof request);
}

static void ask(const char *name, unsigned number, unsigned command, domid_t domain)
{
    request.cmd = command;
    request.interface_version = XEN_DOMCTL_INTERFACE_VERSION;
    request.domain = domain;
    int answer = hypercall(__HYPERVISOR_domctl, (uintptr_t)&request, 0);
    printf("%s %u %u = %d\n", name, number, domain == guest, answer);
    prepare();
}

static void permissions(void)
{
    static const struct { unsigned first, count; } ports[] = {
        { 0x2f8, 8 }, { 0x20, 2 }, { 0x1f, 2 }, { 0, 0 }, { 0xffff, 1 }, { 0xffff, 2 }, { 0x10000, 1 },
    };
    for (unsigned i = 0; i < sizeof ports / sizeof ports[0]; i++)
        for (int allow = 1; allow >= 0; allow--) {
            request.u.ioport_permission.first_port = ports[i].first;
            request.u.ioport_permission.nr_ports = ports[i].count;
            request.u.ioport_permission.allow_access = allow;
            ask("ioport_permission", i * 2 + allow, XEN_DOMCTL_ioport_permission, guest);
        }
    static const struct { uint64_t first, count; } frames[] = {
        { 0xa0, 1 }, { 0xfee00, 1 }, { 1, 0 }, { ~0ull, 2 },
    };
    for (unsigned i = 0; i < sizeof frames / sizeof frames[0]; i++) {
        request.u.iomem_permission.first_mfn = frames[i].first;
        request.u.iomem_permission.nr_mfns = frames[i].count;
        request.u.iomem_permission.allow_access = 1;
        ask("iomem_permission", i, XEN_DOMCTL_iomem_permission, guest);
        /* Xen has nothing to do for the frame of its own interrupt controller either, and says so; Xenocryst refuses. */
        if (frames[i].first == 0xfee00)
            continue;
        request.u.memory_mapping.first_gfn = frames[i].first;
        request.u.memory_mapping.first_mfn = frames[i].first;
        request.u.memory_mapping.nr_mfns = frames[i].count;
        request.u.memory_mapping.add_mapping = 1;
        ask("memory_mapping", i, XEN_DOMCTL_memory_mapping, guest);
    }
    /* The line of ACPI's events is dom0's; there is no other like the second. */
    static const unsigned pirqs[] = { 9, 1000000 };
    for (unsigned i = 0; i < sizeof pirqs / sizeof pirqs[0]; i++)
        for (int allow = 1; allow >= 0; allow--) {
            request.u.irq_permission.pirq = pirqs[i];
            request.u.irq_permission.allow_access = allow;
            ask("irq_permission", i * 2 + allow, XEN_DOMCTL_irq_permission, guest);
        }
}

static void devices(void)
{
    ask("assign_device", 0, XEN_DOMCTL_assign_device, guest);
    ask("test_assign_device", 0, XEN_DOMCTL_test_assign_device, guest);
    ask("deassign_device", 0, XEN_DOMCTL_deassign_device, guest);
    ask("get_device_group", 0, XEN_DOMCTL_get_device_group, guest);
    ask("ioport_mapping", 0, XEN_DOMCTL_ioport_mapping, guest);
    ask("bind_pt_irq", 0, XEN_DOMCTL_bind_pt_irq, guest);
    ask("unbind_pt_irq", 0, XEN_DOMCTL_unbind_pt_irq, guest);
    static const domid_t targets[] = { 0, 12345 };
    for (unsigned i = 0; i < 2; i++) {
        request.u.set_target.target = targets[i];
        ask("set_target", i, XEN_DOMCTL_set_target, guest);
    }
    request.u.set_target.target = guest;
    ask("set_target", 2, XEN_DOMCTL_set_target, guest);
}

/* One extent for the guest; its order is the caller's affair. */
static void extents(void)
{
    request.u.max_mem.max_memkb = 512 << 10;
    ask("max_mem", 0, XEN_DOMCTL_max_mem, guest);
    static const unsigned orders[] = { 10, 19 };
    for (unsigned i = 0; i < 2; i++) {
        static struct xen_memory_reservation reservation __attribute__((aligned(64)));
        extent = 1 << 20;
        reservation.nr_extents = 1;
        reservation.extent_order = orders[i];
        reservation.domid = guest;
        set_xen_guest_handle(reservation.extent_start, &extent);
        int answer = hypercall(__HYPERVISOR_memory_op, XENMEM_populate_physmap, (uintptr_t)&reservation);
        printf("populate_physmap %u 1 = %d\n", orders[i], answer);
    }
}

static void counters(void)
{
    for (unsigned mode = 0; mode <= 4; mode++) {
        request.u.tsc_info.tsc_mode = mode;
        ask("settscinfo", mode, XEN_DOMCTL_settscinfo, guest);
        ask("gettscinfo", mode, XEN_DOMCTL_gettscinfo, guest);
    }
    ask("settscinfo", 0, XEN_DOMCTL_settscinfo, 0);
    ask("gettscinfo", 0, XEN_DOMCTL_gettscinfo, 0);
}

static void vcpu_context(unsigned command, const char *name, domid_t domain, unsigned vcpu, vcpu_guest_context_t *at)
{
    request.u.vcpucontext.vcpu = vcpu;
    set_xen_guest_handle_raw(request.u.vcpucontext.ctxt, at);
    ask(name, vcpu, command, domain);
}

static void vcpus(void)
{
    ask("soft_reset", 0, XEN_DOMCTL_soft_reset, guest);
    ask("soft_reset", 0, XEN_DOMCTL_soft_reset, 0);
    static const unsigned numbers[] = { 0, 9 };
    for (unsigned i = 0; i < 2; i++) {
        vcpu_context(XEN_DOMCTL_getvcpucontext, "getvcpucontext", guest, numbers[i], &context);
        vcpu_context(XEN_DOMCTL_getvcpucontext, "getvcpucontext", 0, numbers[i], &context);
        vcpu_context(XEN_DOMCTL_setvcpucontext, "reset", 0, numbers[i], NULL);
        vcpu_context(XEN_DOMCTL_setvcpucontext, "reset", guest, numbers[i], NULL);
        vcpu_context(XEN_DOMCTL_getvcpucontext, "getvcpucontext-after", guest, numbers[i], &context);
        vcpu_context(XEN_DOMCTL_setvcpucontext, "reset-again", guest, numbers[i], NULL);
    }
}

int main(int count, char **arguments)
{
    privcmd = open("/dev/xen/privcmd", O_RDWR | O_CLOEXEC);
    if (count != 2 || privcmd < 0 || mlockall(MCL_CURRENT | MCL_FUTURE)) {
        perror("control DOMAIN");
        return 1;
    }
    guest = atoi(arguments[1]);
    memset(&context, 0, sizeof context);
    prepare();
    permissions();
    devices();
    extents();
    counters();
    vcpus();
    return 0;
}
