// A simulated accelerator as a device of torch (PrivateUse1), whose truth is known.
//
// Its memory is the host's, its operators are the CPU's, and its clock is virtual: every operator adds
// max(FLOPs / peak, bytes / bandwidth) + latency to the queue of its stream. Events take the queue's time, and whoever
// synchronises sleeps until the host's clock has reached it. So the host sees an asynchronous device, results are real,
// and what a correct measurement must find can be computed beforehand. With DLHW_SIM_CLOCK=virtual the host's clock is
// virtual as well: nothing sleeps, and only launches, waiting and synchronising take the host's time.
//
//   1 devices, queues, costs    4 streams and events     7 operators by hand
//   2 memory                    5 random numbers         8 all other operators
//   3 forks                     6 hooks                  9 registration     10 control, from Python by ctypes

#include <ATen/ATen.h>
#include <ATen/CPUGeneratorImpl.h>
#include <ATen/EmptyTensor.h>
#include <ATen/autocast_mode.h>
#include <ATen/core/dispatch/Dispatcher.h>
#include <ATen/detail/PrivateUse1HooksInterface.h>
#include <ATen/native/Resize.h>
#include <ATen/ops/_reshape_alias_native.h>
#include <ATen/ops/as_strided_native.h>
#include <ATen/ops/set_native.h>
#include <ATen/ops/unfold_native.h>
#include <ATen/ops/view_native.h>
#include <c10/core/CachingDeviceAllocator.h>
#include <c10/core/DeviceGuard.h>
#include <c10/core/impl/DeviceGuardImplInterface.h>
#include <fcntl.h>
#include <pthread.h>
#include <sched.h>
#include <sys/mman.h>
#include <torch/library.h>
#include <unistd.h>

#include <algorithm>
#include <atomic>
#include <cstdlib>
#include <cstring>
#include <ctime>
#include <deque>
#include <map>
#include <memory>
#include <mutex>
#include <random>
#include <sstream>
#include <string>
#include <unordered_map>
#include <vector>

namespace {

using c10::DeviceIndex;
using c10::DispatchKey;
using c10::DispatchKeySet;
using c10::StreamId;

constexpr auto SIM = c10::DeviceType::PrivateUse1;
const DispatchKeySet KEYS(DispatchKey::PrivateUse1);

// ---------------------------------------------------------------- 1 devices, queues, costs

// The order is that of the structure in device.py.
struct Truth {
  double fp32, half;       // FLOP/s
  double bandwidth, link;  // bytes/s of the memory, and between host and device from pinned memory
  double latency;          // seconds of each operator beside its work
  double memory;           // bytes
  double broken;           // 0: no; 1: allocations fail; 2: synchronising fails
  double seed;             // of what follows
  double jitter, spike_share, spike_seconds;  // a share of each operator's time; now and then a longer one
  double throttle_after, throttle;  // from so many busy seconds on, everything takes so many times as long
  double launch, synchronise;       // seconds of the host: of each launch, and of asking whether all is done
  double depth;                     // launches that a queue holds, the one that runs included; 0: any number
  double streams;                   // 1: streams work beside one another; 0: one after the other
  double hollow;                    // memory of so many bytes or more has no content, and is not computed with; 0: all has
  double tf32;  // FLOP/s of fp32 operands where torch's switches let them be rounded to TF32; 0: it knows none
};

constexpr double PAGEABLE = 0.5;  // the link's share that memory reaches which is not pinned

struct Queue {
  double time = 0;          // when the last operator ends, by the host's clock
  bool idle = true;         // somebody has waited for it since
  std::deque<double> ends;  // of its last operators, where it holds only so many
};

struct Logged {
  std::string name;
  double flops, bytes, seconds;
};

// What the driver's library (driver.c) reads of each device, in a file that all processes share; all in seconds.
struct Activity {
  double busy, slowed;  // of all work so far, queued work too; and while throttled
  double ends;          // when the queue is empty, by the host's clock
  double now;           // by the host's clock where that is virtual, else 0
};

struct SimDevice {
  Truth truth;
  std::vector<Queue> queues{1};  // by stream; the first is the default stream
  double operators = 0, flops = 0, bytes = 0, seconds = 0, copied = 0;
  int64_t allocated = 0, peak = 0, reserved = 0, reserved_peak = 0, ooms = 0;
  std::mt19937_64 random;
};

std::recursive_mutex mutex;  // the backward pass launches from threads of its own
std::vector<std::unique_ptr<SimDevice>> devices;
Activity* activities = nullptr;  // one a device, where somebody wants to know
std::vector<Logged> logged;
bool logging = false;
thread_local DeviceIndex current = 0;
thread_local std::map<DeviceIndex, StreamId> current_stream;

bool virtual_clock = false;
std::atomic<double> virtual_now{1};

double now() {
  if (virtual_clock) return virtual_now;
  timespec at;
  clock_gettime(CLOCK_MONOTONIC, &at);  // what Python's perf_counter reads
  return at.tv_sec + at.tv_nsec * 1e-9;
}

void set_clock(double time) {
  std::lock_guard<std::recursive_mutex> lock(mutex);
  virtual_now = std::max(virtual_now.load(), time);
  for (size_t index = 0; activities && index < devices.size(); ++index) activities[index].now = virtual_now;
}

// Sleeps, but for the end: sleeping overshoots by more than a short operator takes.
void wait_until(double time) {
  if (virtual_clock) return set_clock(time);
  constexpr double awake = 2e-4;
  for (double left; (left = time - now()) > 0;) {
    if (left <= awake) {
      sched_yield();
      continue;
    }
    double rest = left - awake;
    timespec nap{static_cast<time_t>(rest), static_cast<long>((rest - static_cast<time_t>(rest)) * 1e9)};
    nanosleep(&nap, nullptr);
  }
}

SimDevice& device_of(DeviceIndex index) {
  TORCH_CHECK(index >= 0 && index < static_cast<DeviceIndex>(devices.size()), "there is no device sim:", int(index));
  return *devices[index];
}

StreamId stream_of(DeviceIndex index) {
  auto found = current_stream.find(index);
  return found == current_stream.end() ? 0 : found->second;
}

Queue& queue_of(DeviceIndex index, StreamId stream) {
  SimDevice& device = device_of(index);
  return device.queues.at(device.truth.streams > 0 ? stream : 0);
}

// What follows an idle queue begins at the host's present; from then on durations only add, so that what events tell is
// an exact sum, however slowly this process computes the results. A host whose time is virtual takes none for that: its
// device waits for it where launches take longer than what is launched.
void begin(Queue& queue, double issued) {
  if (queue.idle || virtual_clock) queue.time = std::max(queue.time, issued);
  queue.idle = false;
}

bool throttled(const SimDevice& device) {
  return device.truth.throttle_after > 0 && device.seconds > device.truth.throttle_after;
}

double disturbed(SimDevice& device, double seconds) {
  const Truth& truth = device.truth;
  if (truth.jitter > 0) seconds *= 1 + truth.jitter * std::normal_distribution<double>()(device.random);
  if (throttled(device)) seconds *= truth.throttle;
  if (truth.spike_share > 0 && std::uniform_real_distribution<double>()(device.random) < truth.spike_share)
    seconds += truth.spike_seconds;
  return std::max(seconds, 0.0);
}

// When the current queue has room for one more; what has ended by `issued` is not in it any more.
double room(DeviceIndex index, double issued) {
  std::lock_guard<std::recursive_mutex> lock(mutex);
  const auto depth = static_cast<size_t>(device_of(index).truth.depth);
  auto& ends = queue_of(index, stream_of(index)).ends;
  while (!ends.empty() && ends.front() <= issued) ends.pop_front();
  return depth == 0 || ends.size() < depth ? issued : ends[ends.size() - depth];
}

// The host waits for room in the queue, and is then held up by the launch; the device may begin when it is made.
void enqueue(DeviceIndex index, const std::string& name, double flops, double bytes, double seconds, double issued) {
  issued = room(index, issued) + device_of(index).truth.launch;
  wait_until(issued);
  std::lock_guard<std::recursive_mutex> lock(mutex);
  SimDevice& device = device_of(index);
  const bool slowed = throttled(device);
  seconds = disturbed(device, seconds);
  Queue& queue = queue_of(index, stream_of(index));
  begin(queue, issued);
  queue.time += seconds;
  if (device.truth.depth > 0) queue.ends.push_back(queue.time);
  device.operators += 1;
  device.flops += flops;
  device.bytes += bytes;
  device.seconds += seconds;
  if (activities) {
    Activity& activity = activities[index];
    activity.busy += seconds;
    activity.slowed += slowed ? seconds : 0;
    activity.ends = queue.time;
  }
  if (logging) logged.push_back({name, flops, bytes, seconds});
}

void check_alive(DeviceIndex index) {
  TORCH_CHECK(device_of(index).truth.broken != 2, "sim:", int(index), " does not answer");
}

void wait_for(DeviceIndex index, StreamId stream) {
  check_alive(index);
  double time;
  {
    std::lock_guard<std::recursive_mutex> lock(mutex);
    time = queue_of(index, stream).time;
  }
  wait_until(time);
  std::lock_guard<std::recursive_mutex> lock(mutex);
  Queue& queue = queue_of(index, stream);
  if (queue.time == time) queue.idle = true;
}

void wait_for_current(DeviceIndex index) { wait_for(index, stream_of(index)); }

// ---------------------------------------------------------------- 3 forks

// As CUDA: a process that has touched a device cannot pass it on to a child by fork.
bool touched = false, forked_after_touch = false;

void touch() {
  TORCH_CHECK(!forked_after_touch, "Cannot re-initialize sim in forked subprocess");
  touched = true;
}

void in_child() { forked_after_touch = touched; }

// ---------------------------------------------------------------- 2 memory

// What a DataPtr of the device holds: memory of its own, or the storage of a result that the CPU has made.
struct Block {
  DeviceIndex device;
  int64_t bytes;
  void* own = nullptr;
  c10::Storage adopted;
};

// Whether memory of that size has no content: it is an address and nothing else, however large, and takes no time.
bool is_hollow(DeviceIndex index, double bytes) {
  const double least = device_of(index).truth.hollow;
  return least > 0 && bytes >= least;
}

void* reserve(DeviceIndex index, size_t bytes) {
  void* data = nullptr;
  if (is_hollow(index, bytes)) {
    data = mmap(nullptr, bytes, PROT_NONE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
    TORCH_CHECK(data != MAP_FAILED, "the host has no addresses left");
  } else {
    TORCH_CHECK(bytes == 0 || posix_memalign(&data, 64, bytes) == 0, "the host is out of memory");
  }
  return data;
}

void give_back(DeviceIndex index, size_t bytes, void* data) {
  if (data && is_hollow(index, bytes))
    munmap(data, bytes);
  else
    std::free(data);
}

void account(DeviceIndex index, int64_t bytes) {
  std::lock_guard<std::recursive_mutex> lock(mutex);
  SimDevice& device = device_of(index);
  if (bytes > 0 && device.allocated + bytes > device.truth.memory) {
    device.ooms += 1;
    TORCH_CHECK_WITH(
        OutOfMemoryError, false, "sim:", int(index), " out of memory. Tried to allocate ", bytes, " bytes; ",
        device.allocated, " of ", static_cast<int64_t>(device.truth.memory), " bytes are in use.");
  }
  device.allocated += bytes;
  device.peak = std::max(device.peak, device.allocated);
  device.reserved = std::max(device.reserved, device.allocated);
  device.reserved_peak = std::max(device.reserved_peak, device.reserved);
}

void release(void* context) {
  auto* block = static_cast<Block*>(context);
  account(block->device, -block->bytes);
  give_back(block->device, block->bytes, block->own);
  delete block;
}

c10::DataPtr data_ptr(DeviceIndex index, int64_t bytes, void* own, c10::Storage adopted) {
  touch();
  TORCH_CHECK(device_of(index).truth.broken != 1, "sim:", int(index), " has no memory left that works");
  const c10::Device place(SIM, index);
  void* data = own ? own : adopted ? adopted.mutable_data() : nullptr;
  if (bytes == 0 || data == nullptr) return {nullptr, place};
  auto block = std::make_unique<Block>(Block{index, bytes, own, std::move(adopted)});
  try {
    account(index, bytes);
  } catch (...) {
    give_back(index, bytes, own);
    throw;
  }
  return {data, block.release(), &release, place};
}

struct Allocator final : c10::DeviceAllocator {
  c10::DataPtr allocate(size_t bytes) override {
    return data_ptr(current, bytes, reserve(current, bytes), {});
  }
  c10::DeleterFnPtr raw_deleter() const override { return nullptr; }
  void copy_data(void* to, const void* from, size_t bytes) const override { std::memcpy(to, from, bytes); }
  bool initialized() override { return true; }
  void recordStream(const c10::DataPtr&, c10::Stream) override {}
  void resetAccumulatedStats(DeviceIndex) override {}

  void emptyCache(c10::MempoolId_t) override {
    std::lock_guard<std::recursive_mutex> lock(mutex);
    for (auto& device : devices) device->reserved = device->allocated;
  }
  void resetPeakStats(DeviceIndex index) override {
    std::lock_guard<std::recursive_mutex> lock(mutex);
    SimDevice& device = device_of(index);
    device.peak = device.allocated;
    device.reserved_peak = device.reserved;
  }
  c10::CachingDeviceAllocator::DeviceStats getDeviceStats(DeviceIndex index) override {
    std::lock_guard<std::recursive_mutex> lock(mutex);
    const SimDevice& device = device_of(index);
    c10::CachingDeviceAllocator::DeviceStats stats;
    for (auto* bytes : {&stats.allocated_bytes, &stats.active_bytes, &stats.requested_bytes}) {
      (*bytes)[0].current = device.allocated;
      (*bytes)[0].peak = device.peak;
    }
    stats.reserved_bytes[0].current = device.reserved;
    stats.reserved_bytes[0].peak = device.reserved_peak;
    stats.num_ooms = device.ooms;
    return stats;
  }
  std::pair<size_t, size_t> getMemoryInfo(DeviceIndex index) override {
    const SimDevice& device = device_of(index);
    return {static_cast<size_t>(device.truth.memory) - device.allocated, static_cast<size_t>(device.truth.memory)};
  }
};

Allocator allocator;

// Memory of the host that the device can reach by itself: remembered, so that a copy can tell.
std::map<const char*, size_t> pinned;

void unpin(void* data) {
  std::lock_guard<std::recursive_mutex> lock(mutex);
  pinned.erase(static_cast<const char*>(data));
  std::free(data);
}

struct PinnedAllocator final : c10::Allocator {
  c10::DataPtr allocate(size_t bytes) override {
    void* data = nullptr;
    TORCH_CHECK(posix_memalign(&data, 64, std::max<size_t>(bytes, 1)) == 0, "the host is out of memory");
    std::lock_guard<std::recursive_mutex> lock(mutex);
    pinned[static_cast<const char*>(data)] = bytes;
    return {data, data, &unpin, c10::Device(c10::DeviceType::CPU)};
  }
  c10::DeleterFnPtr raw_deleter() const override { return &unpin; }
  void copy_data(void* to, const void* from, size_t bytes) const override { std::memcpy(to, from, bytes); }
};

PinnedAllocator pinned_allocator;

bool is_pinned(const void* data) {
  std::lock_guard<std::recursive_mutex> lock(mutex);
  auto after = pinned.upper_bound(static_cast<const char*>(data));
  if (after == pinned.begin()) return false;
  --after;
  return static_cast<const char*>(data) < after->first + std::max<size_t>(after->second, 1);
}

// ---------------------------------------------------------------- 4 streams and events

struct SimEvent {
  double time = 0;
};

struct Guard final : c10::impl::DeviceGuardImplInterface {
  c10::DeviceType type() const override { return SIM; }
  DeviceIndex deviceCount() const noexcept override { return static_cast<DeviceIndex>(devices.size()); }
  c10::Device getDevice() const override { return {SIM, current}; }
  void setDevice(c10::Device device) const override {
    touch();  // as cudaSetDevice does
    device_of(device.index());
    current = device.index();
  }
  void uncheckedSetDevice(c10::Device device) const noexcept override { current = device.index(); }
  c10::Device exchangeDevice(c10::Device device) const override {
    c10::Device before = getDevice();
    setDevice(device);
    return before;
  }

  static DeviceIndex index_of(c10::Device device) { return device.has_index() ? device.index() : current; }
  c10::Stream stream(c10::Device device, StreamId id) const {
    return c10::Stream(c10::Stream::UNSAFE, {SIM, index_of(device)}, id);
  }
  c10::Stream getStream(c10::Device device) const override { return stream(device, stream_of(index_of(device))); }
  c10::Stream getDefaultStream(c10::Device device) const override { return stream(device, 0); }
  c10::Stream getNewStream(c10::Device device, int) const override {
    std::lock_guard<std::recursive_mutex> lock(mutex);
    auto& queues = device_of(index_of(device)).queues;
    queues.emplace_back();
    return stream(device, queues.size() - 1);
  }
  c10::Stream getStreamFromGlobalPool(c10::Device device, bool) const override { return getNewStream(device, 0); }
  c10::Stream exchangeStream(c10::Stream to) const override {
    c10::Stream before = getStream(to.device());
    current_stream[to.device_index()] = to.id();
    return before;
  }
  bool queryStream(const c10::Stream& stream) const override {
    return queue_of(stream.device_index(), stream.id()).time <= now();
  }
  void synchronizeStream(const c10::Stream& stream) const override { wait_for(stream.device_index(), stream.id()); }
  void synchronizeDevice(DeviceIndex index) const override {
    touch();
    for (size_t stream = 0; stream < device_of(index).queues.size(); ++stream) wait_for(index, stream);
    wait_until(now() + device_of(index).truth.synchronise);
  }

  void record(void** event, const c10::Stream& stream, DeviceIndex, c10::EventFlag) const override {
    touch();
    std::lock_guard<std::recursive_mutex> lock(mutex);
    if (*event == nullptr) *event = new SimEvent;
    Queue& queue = queue_of(stream.device_index(), stream.id());
    begin(queue, now());
    static_cast<SimEvent*>(*event)->time = queue.time;
  }
  void block(void* event, const c10::Stream& stream) const override {
    std::lock_guard<std::recursive_mutex> lock(mutex);
    Queue& queue = queue_of(stream.device_index(), stream.id());
    queue.time = std::max(queue.time, static_cast<SimEvent*>(event)->time);
    queue.idle = false;
  }
  bool queryEvent(void* event) const override { return event == nullptr || static_cast<SimEvent*>(event)->time <= now(); }
  void synchronizeEvent(void* event) const override { wait_until(static_cast<SimEvent*>(event)->time); }
  double elapsedTime(void* first, void* second, DeviceIndex) const override {  // torch has checked that both are done
    return (static_cast<SimEvent*>(second)->time - static_cast<SimEvent*>(first)->time) * 1e3;
  }
  void destroyEvent(void* event, DeviceIndex) const noexcept override { delete static_cast<SimEvent*>(event); }
};

// ---------------------------------------------------------------- 5 random numbers

// The CPU's generator, in a case that says it is the device's.
struct Generator final : c10::GeneratorImpl {
  explicit Generator(DeviceIndex index, at::Generator inner = at::detail::createCPUGenerator())
      : GeneratorImpl({SIM, index}, KEYS), inner(std::move(inner)) {}
  void set_current_seed(uint64_t seed) override { inner.set_current_seed(seed); }
  void set_offset(uint64_t) override { TORCH_CHECK(false, "generators of sim have no offset"); }
  uint64_t get_offset() const override { TORCH_CHECK(false, "generators of sim have no offset"); }
  uint64_t current_seed() const override { return inner.current_seed(); }
  uint64_t seed() override { return inner.seed(); }
  void set_state(const c10::TensorImpl& state) override { inner.unsafeGetGeneratorImpl()->set_state(state); }
  c10::intrusive_ptr<c10::TensorImpl> get_state() const override { return inner.unsafeGetGeneratorImpl()->get_state(); }
  GeneratorImpl* clone_impl() const override { return new Generator(device_.index(), inner.clone()); }
  at::Generator inner;
};

std::vector<at::Generator> generators;

const at::Generator& default_generator(DeviceIndex index) {
  std::lock_guard<std::recursive_mutex> lock(mutex);
  for (auto next = generators.size(); next < devices.size(); ++next)
    generators.push_back(at::make_generator<Generator>(static_cast<DeviceIndex>(next)));
  return generators.at(index < 0 ? current : index);
}

at::Generator host_generator(const at::Generator& given) {
  return given.device().type() == SIM ? static_cast<Generator*>(given.unsafeGetGeneratorImpl())->inner : given;
}

// ---------------------------------------------------------------- 6 hooks

void resize_storage(c10::StorageImpl* storage, size_t bytes) {
  const c10::DeviceGuard guard(storage->device());
  c10::DataPtr grown = allocator.allocate(bytes);
  if (storage->data() && !is_hollow(storage->device().index(), bytes))
    std::memcpy(grown.get(), storage->data(), std::min(bytes, storage->nbytes()));
  storage->set_data_ptr_noswap(std::move(grown));
  storage->set_nbytes(bytes);
}

struct Hooks final : at::PrivateUse1HooksInterface {
  bool isBuilt() const override { return true; }
  bool isAvailable() const override { return !devices.empty(); }
  bool hasPrimaryContext(DeviceIndex) const override { return touched; }
  DeviceIndex deviceCount() const override { return static_cast<DeviceIndex>(devices.size()); }
  DeviceIndex getCurrentDevice() const override { return current; }
  void setCurrentDevice(DeviceIndex index) const override { device_of(index), current = index; }
  DeviceIndex exchangeDevice(DeviceIndex index) const override {
    DeviceIndex before = current;
    if (index >= 0) setCurrentDevice(index);
    return before;
  }
  DeviceIndex maybeExchangeDevice(DeviceIndex index) const override { return exchangeDevice(index); }
  bool isPinnedPtr(const void* data) const override { return is_pinned(data); }
  c10::Allocator* getPinnedMemoryAllocator() const override { return &pinned_allocator; }
  at::Device getDeviceFromPtr(void*) const override { return {SIM, current}; }
  const at::Generator& getDefaultGenerator(DeviceIndex index) const override { return default_generator(index); }
  at::Generator getNewGenerator(DeviceIndex index) const override {
    return at::make_generator<Generator>(index < 0 ? current : index);
  }
  void resizePrivateUse1Bytes(const c10::Storage& storage, size_t bytes) const override {
    resize_storage(storage.unsafeGetStorageImpl(), bytes);
  }
};

// ---------------------------------------------------------------- 7 operators by hand

DeviceIndex index_of(const std::optional<c10::Device>& device) {
  return device && device->has_index() ? device->index() : current;
}

// The same bytes as a tensor of the CPU: no copy, and what the CPU writes is written.
at::Tensor host_view(const at::Tensor& tensor) {
  const c10::Storage& storage = tensor.storage();
  c10::Storage same(
      c10::Storage::use_byte_size_t(), storage.nbytes(),
      c10::DataPtr(storage.unsafeGetStorageImpl()->mutable_data(), c10::Device(c10::DeviceType::CPU)),
      c10::GetCPUAllocator(), /*resizable=*/true);
  auto view = at::detail::make_tensor<c10::TensorImpl>(std::move(same), DispatchKeySet(DispatchKey::CPU), tensor.dtype());
  auto* impl = view.unsafeGetTensorImpl();
  impl->set_sizes_and_strides(tensor.sizes(), tensor.strides(), tensor.storage_offset());
  if (tensor.unsafeGetTensorImpl()->is_wrapped_number()) impl->set_wrapped_number(true);
  if (tensor.is_conj()) view._set_conj(true);
  if (tensor.is_neg()) view._set_neg(true);
  return view;
}

bool is_hollow(const at::Tensor& tensor) {
  return tensor.device().type() == SIM && is_hollow(tensor.device().index(), tensor.storage().nbytes());
}

// The same shape without any content.
at::Tensor shape_of(const at::Tensor& tensor) {
  auto shape = at::empty_strided(tensor.sizes(), tensor.strides(), tensor.options().device(c10::DeviceType::Meta));
  if (tensor.unsafeGetTensorImpl()->is_wrapped_number()) shape.unsafeGetTensorImpl()->set_wrapped_number(true);
  return shape;
}

// A tensor of the device over `storage`, of the shape of `like`.
at::Tensor device_tensor(c10::Storage storage, const at::Tensor& like) {
  auto made = at::detail::make_tensor<c10::TensorImpl>(std::move(storage), KEYS, like.dtype());
  made.unsafeGetTensorImpl()->set_sizes_and_strides(like.sizes(), like.strides(), like.storage_offset());
  return made;
}

// What the CPU has made becomes the device's, and counts as the device's memory from now on; what nobody has made, but
// only its shape, is memory without content, or of zeros where it is small.
at::Tensor adopt(const at::Tensor& made, DeviceIndex index) {
  const size_t bytes = made.storage().nbytes();
  c10::DataPtr data;
  if (made.is_meta()) {
    data = data_ptr(index, bytes, reserve(index, bytes), {});
    if (!is_hollow(index, bytes)) std::memset(data.get(), 0, bytes);
  } else {
    data = data_ptr(index, bytes, nullptr, made.storage());
  }
  return device_tensor(
      c10::Storage(c10::Storage::use_byte_size_t(), bytes, std::move(data), &allocator, /*resizable=*/true), made);
}

at::Tensor empty(
    c10::IntArrayRef size, std::optional<at::ScalarType> dtype, std::optional<at::Layout>,
    std::optional<c10::Device> device, std::optional<bool>, std::optional<c10::MemoryFormat> memory_format) {
  const c10::DeviceGuard guard({SIM, index_of(device)});
  return at::detail::empty_generic(size, &allocator, KEYS, c10::dtype_or_default(dtype), memory_format);
}

at::Tensor empty_strided(
    c10::IntArrayRef size, c10::IntArrayRef stride, std::optional<at::ScalarType> dtype, std::optional<at::Layout>,
    std::optional<c10::Device> device, std::optional<bool>) {
  const c10::DeviceGuard guard({SIM, index_of(device)});
  return at::detail::empty_strided_generic(size, stride, &allocator, KEYS, c10::dtype_or_default(dtype));
}

void transfer(DeviceIndex index, const char* name, double bytes, double share, double issued) {
  const Truth& truth = device_of(index).truth;
  enqueue(index, name, 0, bytes, bytes / (truth.link * share) + truth.latency, issued);
  device_of(index).copied += bytes;
}

// Copies over the link wait for their end, but for those from or to pinned memory that need not.
at::Tensor copy_from(const at::Tensor& self, const at::Tensor& to, bool non_blocking) {
  touch();
  const double issued = now();
  const bool from_device = self.device().type() == SIM, to_device = to.device().type() == SIM;
  if (!is_hollow(self) && !is_hollow(to)) {
    const at::AutoDispatchBelowADInplaceOrView guard;
    at::Tensor target = to_device ? host_view(to) : to;
    target.copy_(from_device ? host_view(self) : self);
  }
  if (from_device && to_device && self.device() == to.device()) {
    const Truth& truth = device_of(to.device().index()).truth;
    const double bytes = static_cast<double>(self.nbytes() + to.nbytes());
    enqueue(to.device().index(), "copy", 0, bytes, bytes / truth.bandwidth + truth.latency, issued);
    return to;
  }
  if (from_device && to_device) {
    transfer(self.device().index(), "copy to another device", self.nbytes(), 1, issued);
    transfer(to.device().index(), "copy from another device", self.nbytes(), 1, issued);
    return to;
  }
  const DeviceIndex index = (to_device ? to : self).device().index();
  const bool from_pinned = is_pinned((to_device ? self : to).const_data_ptr());
  transfer(index, to_device ? "copy from host" : "copy to host", self.nbytes(), from_pinned ? 1 : PAGEABLE, issued);
  if (!(non_blocking && from_pinned)) wait_for_current(index);
  return to;
}

const at::Tensor& resize_(const at::Tensor& self, c10::IntArrayRef size, std::optional<c10::MemoryFormat> format) {
  auto* impl = self.unsafeGetTensorImpl();
  const size_t bytes = at::detail::computeStorageNbytesContiguous(size, self.itemsize(), self.storage_offset());
  if (bytes > self.storage().nbytes()) resize_storage(self.storage().unsafeGetStorageImpl(), bytes);
  impl->set_sizes_contiguous(size);
  if (format && *format != c10::MemoryFormat::Preserve) impl->empty_tensor_restride(*format);
  return self;
}

at::Tensor copy_from_and_resize(const at::Tensor& self, const at::Tensor& to) {
  to.resize_(self.sizes());
  return copy_from(self, to, false);
}

at::Scalar local_scalar(const at::Tensor& self) {
  TORCH_CHECK(!is_hollow(self), "there are no values in memory without content");
  wait_for_current(self.device().index());
  const at::AutoDispatchBelowADInplaceOrView guard;
  return at::_local_scalar_dense(host_view(self));
}

at::Tensor& set_storage(
    at::Tensor& self, at::Storage source, int64_t offset, c10::IntArrayRef size, c10::IntArrayRef stride) {
  auto* impl = self.unsafeGetTensorImpl();
  impl->set_storage_keep_dtype(std::move(source));
  if (stride.size() == size.size())
    impl->set_sizes_and_strides(size, stride, offset);
  else
    impl->set_sizes_contiguous(size), impl->set_storage_offset(offset);
  return self;
}

// ---------------------------------------------------------------- 8 all other operators

// Two FLOPs a multiply-add, by the operands' shapes; of a convolution before its output is known, for each number of it.
struct Arithmetic {
  double flops = 0;
  bool for_each_output = false, half = false;
  size_t first = 0, last = 0;  // the operands among the arguments
};

// Whether operands are rounded to TF32: by torch's switches for NVIDIA's GPUs.
bool rounds(const std::string& name) {
  const bool convolves = name.rfind("aten::convolution", 0) == 0;
  const auto op = convolves ? at::Float32Op::CONV : at::Float32Op::MATMUL;
  return at::globalContext().float32Precision(at::Float32Backend::CUDA, op) == at::Float32Precision::TF32;
}

// To ten bits after the point, to the nearest.
at::Tensor rounded(const at::Tensor& operand) {
  const at::AutoDispatchBelowADInplaceOrView guard;
  return operand.clone().view(at::kInt).add_(1 << 12).bitwise_and_(~((1 << 13) - 1)).view(at::kFloat);
}

double conv_flops(const at::Tensor& output, const at::Tensor& input, const at::Tensor& weight, bool transposed) {
  const double each = 2.0 * weight.numel() / weight.size(0);
  return each * (transposed ? input : output).numel();
}

Arithmetic arithmetic(const std::string& name, c10::ArrayRef<c10::IValue> given) {
  Arithmetic found;
  auto product = [&](size_t first) {
    const at::Tensor &left = given[first].toTensor(), &right = given[first + 1].toTensor();
    found.flops = 2.0 * left.numel() * right.size(-1);
    found.half = left.itemsize() == 2;
    found.first = first, found.last = first + 1;
  };
  if (name == "aten::mm" || name == "aten::bmm") product(0);
  if (name == "aten::addmm" || name == "aten::baddbmm") product(1);
  if (name == "aten::convolution") {
    const at::Tensor &input = given[0].toTensor(), &weight = given[1].toTensor();
    found.for_each_output = !given[6].toBool();
    found.flops = 2.0 * weight.numel() / weight.size(0) * (found.for_each_output ? 1 : input.numel());
    found.half = input.itemsize() == 2;
    found.last = 1;
  }
  if (name == "aten::convolution_backward") {
    const auto mask = given[10].toBoolList();
    const at::Tensor& output = given[0].toTensor();
    const double forward = conv_flops(output, given[1].toTensor(), given[2].toTensor(), given[7].toBool());
    found.flops = forward * (mask[0] + mask[1]);
    found.half = output.itemsize() == 2;
    found.last = 2;
  }
  return found;
}

// A result of a call without content: one of the tensors that were given, or a new one of this shape.
struct Made {
  int given = -1;
  std::vector<int64_t> sizes, strides;
  c10::ScalarType type = c10::ScalarType::Undefined;
};

// What calls without content have made, by all that it depends on: many a shape is inferred by torch in Python, which
// takes a hundred times as long as to launch.
std::unordered_map<std::string, std::vector<Made>> remembered;

// All that shapes and types of the results depend on.
class Key {
 public:
  Key(const c10::OperatorHandle& op, c10::ArrayRef<c10::IValue> given)
      : text_(op.operator_name().name + "." + op.operator_name().overload_name) {
    for (const auto& value : given) add(value);
  }
  const std::string& text() const { return text_; }

 private:
  void add(const c10::IValue& value) {
    number(static_cast<int64_t>(value.isTensor()));
    if (value.isTensor()) {
      add(value.toTensor());
    } else if (value.isTensorList() || value.isOptionalTensorList()) {
      number(static_cast<int64_t>(value.toListRef().size()));
      for (const c10::IValue& each : value.toListRef()) add(each);
    } else if (!value.isGenerator()) {
      std::ostringstream words;
      words << value.tagKind() << value << ';';
      text_ += words.str();
    }
  }

  void add(const at::Tensor& tensor) {
    number(tensor.defined());
    if (!tensor.defined()) return;
    number(static_cast<int64_t>(tensor.scalar_type()));
    number(static_cast<int64_t>(tensor.device().type()));
    number(tensor.unsafeGetTensorImpl()->is_wrapped_number());
    number(tensor.dim());
    for (const auto each : tensor.sizes()) number(each);
    for (const auto each : tensor.strides()) number(each);
    number(tensor.storage_offset());
    const auto* storage = tensor.storage().unsafeGetStorageImpl();
    const auto found = std::find(storages_.begin(), storages_.end(), storage);
    number(found - storages_.begin());
    if (found == storages_.end()) storages_.push_back(storage);
  }

  void number(int64_t value) { text_.append(reinterpret_cast<const char*>(&value), sizeof value); }

  std::string text_;
  std::vector<const c10::StorageImpl*> storages_;
};

// One call of an operator: its tensors seen by the CPU, what it moves, and what of its results is whose.
class Call {
 public:
  Call(const c10::OperatorHandle& op, torch::jit::Stack* stack)
      : schema_(op.schema()), name_(schema_.name()), stack_(stack) {}

  void run(const c10::OperatorHandle& op) {
    touch();
    const double issued = now();
    const auto given = torch::jit::last(*stack_, schema_.arguments().size());
    for (const auto& value : given) find_device(value);
    if (index_ < 0) index_ = current;
    for (const auto& value : given) hollow_ |= is_hollow(value);
    work_ = arithmetic(name_, given);
    const std::string key = hollow_ && device_of(index_).truth.tf32 == 0 ? Key(op, given).text() : "";
    known_ = recall(key);
    const size_t first = stack_->size() - schema_.arguments().size();
    for (size_t number = 0; number < schema_.arguments().size(); ++number)
      to_host((*stack_)[first + number], schema_.arguments()[number]);
    round_operands(first);
    if (known_) {
      repeat();
    } else {
      const at::AutoDispatchBelowADInplaceOrView guard;
      op.redispatchBoxed(DispatchKeySet(hollow_ ? DispatchKey::Meta : DispatchKey::CPU), stack_);
    }
    const size_t results = stack_->size() - schema_.returns().size();
    if (!known_ && !key.empty()) remember(key, torch::jit::last(*stack_, schema_.returns().size()));
    for (auto& [view, original] : views_) take_new_shape(view, original);
    for (size_t number = results; number < stack_->size(); ++number) to_device((*stack_)[number]);
    launch(issued);
  }

 private:
  static const std::vector<Made>* recall(const std::string& key) {
    std::lock_guard<std::recursive_mutex> lock(mutex);
    const auto found = remembered.find(key);
    return key.empty() || found == remembered.end() ? nullptr : &found->second;
  }

  // Results that are views of what was given, or none, are made anew each time; so is what changed a given shape.
  void remember(const std::string& key, c10::ArrayRef<c10::IValue> results) const {
    std::vector<Made> made;
    for (const auto& [view, original] : views_)
      if (view.sizes() != original.sizes() || view.strides() != original.strides()) return;
    for (const auto& value : results) {
      if (!value.isTensor() || !value.toTensor().defined()) return;
      const at::Tensor& result = value.toTensor();
      made.push_back({-1, result.sizes().vec(), result.strides().vec(), result.scalar_type()});
      for (size_t number = 0; number < views_.size(); ++number) {
        if (views_[number].first.is_same(result)) made.back().given = static_cast<int>(number);
        else if (same_memory(views_[number].first, result) && made.back().given < 0) return;
      }
      const size_t bytes = at::detail::computeStorageNbytes(result.sizes(), result.strides(), result.itemsize());
      if (made.back().given < 0 && bytes != result.storage().nbytes()) return;
    }
    std::lock_guard<std::recursive_mutex> lock(mutex);
    remembered.emplace(key, std::move(made));
  }

  void repeat() {
    torch::jit::drop(*stack_, schema_.arguments().size());
    const auto options = at::TensorOptions().device(c10::DeviceType::Meta);
    for (const Made& made : *known_)
      stack_->emplace_back(made.given >= 0 ? views_[made.given].first
                                           : at::empty_strided(made.sizes, made.strides, options.dtype(made.type)));
  }

  void find_device(const c10::IValue& value) {
    if (value.isTensor() && value.toTensor().defined() && value.toTensor().device().type() == SIM) {
      if (index_ < 0) index_ = value.toTensor().device().index();
    } else if (value.isTensorList() || value.isOptionalTensorList()) {
      for (const c10::IValue& each : value.toListRef()) find_device(each);
    } else if (value.isDevice() && value.toDevice().type() == SIM && index_ < 0) {
      index_ = index_of(value.toDevice());
    }
  }

  static bool is_hollow(const c10::IValue& value) {
    if (value.isTensor()) return value.toTensor().defined() && ::is_hollow(value.toTensor());
    if (!value.isTensorList() && !value.isOptionalTensorList()) return false;
    for (const c10::IValue& each : value.toListRef())
      if (is_hollow(each)) return true;
    return false;
  }

  void to_host(c10::IValue& value, const c10::Argument& argument) {
    const bool written = argument.alias_info() && argument.alias_info()->isWrite();
    const double times = written && !argument.is_out() ? 2 : 1;  // changed in place: read and written
    writes_ |= written;
    if (value.isTensor()) {
      value = seen(value.toTensor(), times);
    } else if (value.isTensorList()) {
      c10::List<at::Tensor> list;
      for (const c10::IValue& each : value.toListRef()) list.push_back(seen(each.toTensor(), times));
      value = list;
    } else if (value.isOptionalTensorList()) {
      c10::List<std::optional<at::Tensor>> list;
      for (const c10::IValue& each : value.toListRef())
        list.push_back(each.isNone() ? std::nullopt : std::optional<at::Tensor>(seen(each.toTensor(), times)));
      value = list;
    } else if (value.isDevice() && value.toDevice().type() == SIM) {
      value = c10::Device(hollow_ ? c10::DeviceType::Meta : c10::DeviceType::CPU);
    } else if (value.isGenerator()) {
      value = host_generator(value.toGenerator());
    } else if (value.isNone() && takes_generator(argument)) {
      value = host_generator(default_generator(index_));
    }
  }

  void round_operands(size_t first) {
    if (work_.flops == 0 || device_of(index_).truth.tf32 == 0 || !rounds(name_)) return;
    tf32_ = (*stack_)[first + work_.first].toTensor().scalar_type() == at::kFloat;
    for (size_t number = work_.first; tf32_ && number <= work_.last; ++number)
      (*stack_)[first + number] = rounded((*stack_)[first + number].toTensor());
  }

  static bool takes_generator(const c10::Argument& argument) {
    const auto optional = argument.type()->cast<c10::OptionalType>();
    return optional && optional->getElementType()->kind() == c10::TypeKind::GeneratorType;
  }

  // As CUDA has it: no other device's tensors, but single numbers and indices of the host.
  at::Tensor seen(const at::Tensor& tensor, double times) {
    if (!tensor.defined()) return tensor;
    if (tensor.device().type() != SIM) {
      TORCH_CHECK(tensor.dim() == 0 || name_.rfind("aten::index", 0) == 0 || name_.rfind("aten::_index", 0) == 0,
                  "Expected all tensors to be on the same device, but found sim:", int(index_), " and ", tensor.device(),
                  " (", name_, ")");
      return tensor;
    }
    TORCH_CHECK(tensor.device().index() == index_, "Expected all tensors to be on the same device, but found sim:",
                int(index_), " and ", tensor.device(), " (", name_, ")");
    bytes_ += times * tensor.nbytes();
    views_.emplace_back(known_ ? tensor : hollow_ ? shape_of(tensor) : host_view(tensor), tensor);
    return views_.back().first;
  }

  // An `out=` that was too small, or of no size.
  static void take_new_shape(const at::Tensor& view, const at::Tensor& original) {
    if (view.sizes() == original.sizes()) return;
    original.resize_(view.sizes());
    if (view.is_meta()) return;
    const at::AutoDispatchBelowADInplaceOrView guard;
    host_view(original).copy_(view);
  }

  void to_device(c10::IValue& value) {
    if (value.isTensor()) {
      value = kept(value.toTensor());
    } else if (value.isTensorList()) {
      c10::List<at::Tensor> list;
      for (const c10::IValue& each : value.toListRef()) list.push_back(kept(each.toTensor()));
      value = list;
    }
  }

  at::Tensor kept(const at::Tensor& result) {
    returns_tensors_ = true;
    if (!result.defined()) return result;
    outputs_ += work_.for_each_output ? result.numel() : 0;
    for (const auto& [view, original] : views_) {
      if (view.is_same(result)) return original;
      if (same_memory(view, result)) return device_tensor(original.storage(), result);
    }
    makes_ = true;
    bytes_ += result.nbytes();
    return adopt(result, index_);
  }

  static bool same_memory(const at::Tensor& one, const at::Tensor& other) {
    if (one.is_meta()) return one.storage().unsafeGetStorageImpl() == other.storage().unsafeGetStorageImpl();
    return other.storage().data() != nullptr && one.storage().data() == other.storage().data();
  }

  void launch(double issued) {
    const bool is_view = returns_tensors_ && !makes_ && !writes_;
    if (is_view) return;
    const Truth& truth = device_of(index_).truth;
    const double flops = work_.flops * (work_.for_each_output ? outputs_ : 1);
    const double peak = work_.half ? truth.half : tf32_ ? truth.tf32 : truth.fp32;
    const double seconds = std::max(flops / peak, bytes_ / truth.bandwidth);
    enqueue(index_, name_, flops, bytes_, seconds + truth.latency, issued);
    // The host cannot know a value, or how many numbers there are, before the device has found out.
    const bool asks = !returns_tensors_ && !writes_;
    if (asks || name_ == "aten::nonzero" || name_ == "aten::masked_select") wait_for_current(index_);
  }

  const c10::FunctionSchema& schema_;
  const std::string& name_;
  torch::jit::Stack* stack_;
  std::vector<std::pair<at::Tensor, at::Tensor>> views_;
  Arithmetic work_;
  const std::vector<Made>* known_ = nullptr;
  DeviceIndex index_ = -1;
  double bytes_ = 0, outputs_ = 0;
  bool writes_ = false, makes_ = false, returns_tensors_ = false, hollow_ = false, tf32_ = false;
};

void fallback(const c10::OperatorHandle& op, torch::jit::Stack* stack) { Call(op, stack).run(op); }

// ---------------------------------------------------------------- 9 registration

C10_REGISTER_GUARD_IMPL(PrivateUse1, Guard)

TORCH_LIBRARY_IMPL(_, PrivateUse1, m) { m.fallback(torch::CppFunction::makeFromBoxedFunction<&fallback>()); }

TORCH_LIBRARY_IMPL(aten, PrivateUse1, m) {
  m.impl("empty.memory_format", empty);
  m.impl("empty_strided", empty_strided);
  m.impl("_copy_from", copy_from);
  m.impl("_copy_from_and_resize", copy_from_and_resize);
  m.impl("resize_", resize_);
  m.impl("_local_scalar_dense", local_scalar);
  m.impl("as_strided", at::native::as_strided_tensorimpl);
  m.impl("view", at::native::view);
  m.impl("_reshape_alias", at::native::_reshape_alias);
  m.impl("unfold", at::native::unfold);
  m.impl("set_.source_Storage_storage_offset", set_storage);
  m.impl("set_.source_Tensor", at::native::set_tensor_);
  // One launch each, as on a real device: torch's own way for a device that it does not know ends in an error, or in one
  // launch a tensor.
  for (const auto* name : {"convolution", "convolution_backward", "native_layer_norm", "native_group_norm"})
    m.impl(name, torch::CppFunction::makeFromBoxedFunction<&fallback>());
  for (const auto& name : c10::Dispatcher::singleton().getAllOpNames()) {
    if (name.name.rfind("aten::_foreach_", 0) != 0) continue;
    const std::string full = name.name + (name.overload_name.empty() ? "" : "." + name.overload_name);
    m.impl(full.c_str(), torch::CppFunction::makeFromBoxedFunction<&fallback>());
  }
}

// Which operators autocast casts, and to what, is torch's own list.
TORCH_LIBRARY_IMPL(_, AutocastPrivateUse1, m) { m.fallback(torch::CppFunction::makeFallthrough()); }

TORCH_LIBRARY_IMPL(aten, AutocastPrivateUse1, m) {
  using namespace at;
  using namespace at::autocast;
#define SIM_LOWER(...) KERNEL_PRIVATEUSEONE(__VA_ARGS__, lower_precision_fp)
#define SIM_FP32(...) KERNEL_PRIVATEUSEONE(__VA_ARGS__, fp32)
#define SIM_FP32_SET(...) KERNEL_PRIVATEUSEONE(__VA_ARGS__, fp32_set_opt_dtype)
#define SIM_PROMOTE(...) KERNEL_PRIVATEUSEONE(__VA_ARGS__, promote)
  AT_FORALL_LOWER_PRECISION_FP(SIM_LOWER)
  AT_FORALL_FP32(SIM_FP32)
  AT_FORALL_FP32_SET_OPT_DTYPE(SIM_FP32_SET)
  AT_FORALL_DIFFERENT_REDISPATCH_SIGNATURE(KERNEL_DIFFERENT_REDISPATCH_SIGNATURE_PRIVATEUSEONE)
  AT_FORALL_PROMOTE(SIM_PROMOTE)
}

}  // namespace

// ---------------------------------------------------------------- 10 control, from Python by ctypes

extern "C" {

// Once, before anything else asks for a device.
void sim_begin(bool with_virtual_clock) {
  virtual_clock = with_virtual_clock;
  c10::SetAllocator(SIM, &allocator);
  at::RegisterPrivateUse1HooksInterface(new Hooks);
  pthread_atfork(nullptr, nullptr, in_child);
}

void sim_add(const double* truth) {
  auto device = std::make_unique<SimDevice>();
  std::memcpy(&device->truth, truth, sizeof(Truth));
  device->random.seed(static_cast<uint64_t>(device->truth.seed) * 1000003 + devices.size());
  devices.push_back(std::move(device));
}

// Once, after all devices were added: tell their activity in this file.
bool sim_publish(const char* path) {
  const size_t size = devices.size() * sizeof(Activity);
  const int file = open(path, O_RDWR | O_CREAT, 0600);
  if (file < 0 || ftruncate(file, static_cast<off_t>(size)) != 0) return false;
  void* shared = mmap(nullptr, size, PROT_READ | PROT_WRITE, MAP_SHARED, file, 0);
  close(file);
  if (shared == MAP_FAILED) return false;
  activities = static_cast<Activity*>(shared);
  if (virtual_clock) set_clock(virtual_now);
  return true;
}

// The host's clock; one that is virtual goes on a little whenever it is read, for somebody may wait for it to go on.
double sim_now() {
  if (virtual_clock) set_clock(virtual_now + 1e-8);
  return now();
}

void sim_sleep(double seconds) { wait_until(now() + seconds); }

// operators, flops, bytes, seconds, bytes over the link, allocated bytes, their peak
void sim_counters(int index, double* into) {
  const SimDevice& device = device_of(index);
  const double found[] = {device.operators, device.flops,  device.bytes, device.seconds,
                          device.copied,    double(device.allocated), double(device.peak)};
  std::copy(std::begin(found), std::end(found), into);
}

void sim_log(bool wanted) {
  logging = wanted;
  logged.clear();
}

int sim_logged() { return static_cast<int>(logged.size()); }

const char* sim_entry(int number, double* figures) {
  const Logged& entry = logged.at(number);
  figures[0] = entry.flops, figures[1] = entry.bytes, figures[2] = entry.seconds;
  return entry.name.c_str();
}

void sim_seed(int index, uint64_t seed) { at::Generator(default_generator(index)).set_current_seed(seed); }

bool sim_in_bad_fork() { return forked_after_touch; }
}
