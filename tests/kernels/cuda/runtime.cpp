// Runs the blocks of a launch one after another, and the threads of a block as fibres that switch at barriers.
//
// A thread is started only when those before it have ended or wait; one that never waits costs a call. Memory faults
// and the traps of the undefined-behaviour sanitizer end the launch with the block and thread they happened in.
#include "cuda_on_cpu.h"
#include <setjmp.h>
#include <signal.h>
#include <sys/mman.h>
#include <ucontext.h>
#include <vector>

namespace shim {
uint3 thread_index, block_index;
dim3 block_size, grid_size;

namespace {
constexpr size_t stack_bytes = 64 << 10;
constexpr int signals[] = {SIGSEGV, SIGBUS, SIGILL, SIGFPE};

struct Fiber {
    void *at; // its stack pointer, or its context, while another runs
    unsigned thread;
    int line; // of the barrier it waits at; 0 when its threads have ended
};

struct Block {
    void *scheduler;
    Fiber *current;
    void (*body)(void *);
    void *argument;
    std::vector<unsigned> order;
    size_t started;
};

Block block;
std::vector<Fiber *> fibers; // kept from launch to launch
unsigned seed;
sigjmp_buf fault;

#if defined(__x86_64__)
extern "C" void shim_switch(void **from, void *to);
asm(R"(
.text
.globl shim_switch
.type shim_switch,@function
shim_switch:
    pushq %rbp; pushq %rbx; pushq %r12; pushq %r13; pushq %r14; pushq %r15
    movq %rsp, (%rdi)
    movq %rsi, %rsp
    popq %r15; popq %r14; popq %r13; popq %r12; popq %rbx; popq %rbp
    ret
.size shim_switch,.-shim_switch
)");
void switch_to(void **from, void *to) {
    shim_switch(from, to);
}

void *prepare(char *stack, void (*entry)()) {
    void **top = (void **)(stack + stack_bytes);
    *--top = nullptr; // where `entry` would return to; keeps its stack aligned
    *--top = (void *)entry;
    for (int i = 0; i < 6; i++) {
        *--top = nullptr;
    }
    return top;
}
#else
ucontext_t scheduler_context;
void switch_to(void **from, void *to) {
    *from = *from ? *from : &scheduler_context;
    swapcontext((ucontext_t *)*from, (ucontext_t *)to);
}

void *prepare(char *stack, void (*entry)()) {
    auto *context = new ucontext_t;
    getcontext(context);
    context->uc_stack.ss_sp = stack;
    context->uc_stack.ss_size = stack_bytes;
    context->uc_link = nullptr;
    makecontext(context, entry, 0);
    return context;
}
#endif

void enter(unsigned thread) {
    thread_index = {thread % block_size.x, thread / block_size.x % block_size.y, thread / block_size.x / block_size.y};
}

void run_threads() {
    for (;;) {
        Fiber *self = block.current;
        while (block.started < block.order.size()) {
            self->thread = block.order[block.started++];
            enter(self->thread);
            block.body(block.argument);
        }
        self->line = 0;
        switch_to(&self->at, block.scheduler);
    }
}

Fiber *new_fiber() {
    void *stack = mmap(nullptr, stack_bytes, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    return new Fiber{prepare((char *)stack, run_threads), 0, 0};
}

void resume(Fiber *fiber) {
    block.current = fiber;
    enter(fiber->thread);
    switch_to(&block.scheduler, fiber->at);
}

template <class T> void arrange(std::vector<T> &items, unsigned order) {
    if (order == 0 || items.empty()) {
        return;
    }
    for (size_t i = items.size() - 1; i > 0; i--) {
        seed = seed * 1664525u + 1013904223u;
        const size_t j = order == 1 ? items.size() - 1 - i : (seed >> 8) % (i + 1);
        if (order > 1 || j < i) {
            const T kept = items[i];
            items[i] = items[j];
            items[j] = kept;
        }
    }
}

int run_block(Launch *launch) {
    const size_t threads = (size_t)block_size.x * block_size.y * block_size.z;
    block.order.resize(threads);
    for (size_t i = 0; i < threads; i++) {
        block.order[i] = i;
    }
    arrange(block.order, launch->order);
    block.started = 0;
    std::vector<Fiber *> waiting;
    while (block.started < threads) {
        if (waiting.size() == fibers.size()) {
            fibers.push_back(new_fiber());
        }
        Fiber *fiber = fibers[waiting.size()];
        resume(fiber);
        if (fiber->line) {
            waiting.push_back(fiber);
        }
    }
    while (!waiting.empty()) {
        launch->line = waiting[0]->line;
        if (waiting.size() != threads) {
            return LEFT;
        }
        for (Fiber *fiber : waiting) {
            if (fiber->line != launch->line) {
                return DIVERGED;
            }
        }
        if (launch->order > 1) { // forward and backward stay as they are
            arrange(waiting, launch->order);
        }
        size_t still = 0;
        for (Fiber *fiber : waiting) {
            resume(fiber);
            still += fiber->line != 0;
        }
        if (still == 0) {
            break;
        }
        if (still != threads) {
            return LEFT;
        }
    }
    return DONE;
}

void on_fault(int number, siginfo_t *, void *) {
    siglongjmp(fault, number);
}

// The handlers of a launch, and those from before it again at its end.
class Handlers {
  public:
    Handlers() {
        stack_t own = {};
        own.ss_sp = memory_;
        own.ss_size = sizeof memory_;
        sigaltstack(&own, &stack_before_);
        struct sigaction action = {};
        action.sa_sigaction = on_fault;
        action.sa_flags = SA_SIGINFO | SA_ONSTACK | SA_NODEFER;
        for (int i = 0; i < 4; i++) {
            sigaction(signals[i], &action, &before_[i]);
        }
    }
    ~Handlers() {
        for (int i = 0; i < 4; i++) {
            sigaction(signals[i], &before_[i], nullptr);
        }
        sigaltstack(&stack_before_, nullptr);
    }

  private:
    static char memory_[1 << 16];
    stack_t stack_before_ = {};
    struct sigaction before_[4] = {};
};
char Handlers::memory_[1 << 16];

void blame(Launch *launch) {
    const unsigned where[] = {block_index.x,  block_index.y,  block_index.z,
                              thread_index.x, thread_index.y, thread_index.z};
    memcpy(launch->failed_block, where, sizeof launch->failed_block);
    memcpy(launch->failed_thread, where + 3, sizeof launch->failed_thread);
}
} // namespace

void wait(int line) {
    Fiber *self = block.current;
    self->line = line;
    switch_to(&self->at, block.scheduler);
}

int run(Launch *launch, void (*body)(void *), void *argument, char *shared, size_t shared_bytes) {
    Handlers handlers;
    if (const int number = sigsetjmp(fault, 1)) {
        launch->signal = number;
        blame(launch);
        fibers.clear(); // their stacks are in the middle of something: lost, with the process's last failed test
        return FAULT;
    }
    block.body = body;
    block.argument = argument;
    block_size = {launch->block[0], launch->block[1], launch->block[2]};
    grid_size = {launch->grid[0], launch->grid[1], launch->grid[2]};
    seed = launch->order * 2654435761u;
    for (unsigned z = 0; z < grid_size.z; z++) {
        for (unsigned y = 0; y < grid_size.y; y++) {
            for (unsigned x = 0; x < grid_size.x; x++) {
                block_index = {x, y, z};
                memset(shared, 0xFF, shared_bytes); // a float of that is no number, an int is -1
                if (const int verdict = run_block(launch)) {
                    blame(launch);
                    fibers.clear();
                    return verdict;
                }
            }
        }
    }
    return DONE;
}
} // namespace shim
