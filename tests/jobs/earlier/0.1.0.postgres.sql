CREATE FUNCTION public.hunyuan_sum_queue() RETURNS trigger
    LANGUAGE plpgsql
    AS $$ BEGIN 
    UPDATE hunyuan_queue
    SET jobs = jobs - 1, clips = clips - OLD.clips, evaluations = evaluations - OLD.evaluations, denoise_flops = denoise_flops - OLD.denoise_flops, attention_flops = attention_flops - OLD.attention_flops, decode_flops = decode_flops - OLD.decode_flops, pixels = pixels - OLD.pixels
    WHERE owner = OLD.owner AND priority = OLD.priority AND stretch = OLD.turn >> 6 AND model = OLD.model AND OLD.state = 'pending' AND OLD.stage = 'queued';
    DELETE FROM hunyuan_queue WHERE owner = OLD.owner AND priority = OLD.priority AND stretch = OLD.turn >> 6 AND model = OLD.model AND jobs = 0;
 
    INSERT INTO hunyuan_queue (owner, priority, stretch, model, jobs, clips, evaluations, denoise_flops, attention_flops, decode_flops, pixels)
    SELECT NEW.owner, NEW.priority, NEW.turn >> 6, NEW.model, 1,
        NEW.clips, NEW.evaluations, NEW.denoise_flops, NEW.attention_flops, NEW.decode_flops, NEW.pixels
    WHERE NEW.state = 'pending' AND NEW.stage = 'queued'
    ON CONFLICT (owner, priority, stretch, model) DO UPDATE
    SET jobs = hunyuan_queue.jobs + excluded.jobs, clips = hunyuan_queue.clips + excluded.clips, evaluations = hunyuan_queue.evaluations + excluded.evaluations, denoise_flops = hunyuan_queue.denoise_flops + excluded.denoise_flops, attention_flops = hunyuan_queue.attention_flops + excluded.attention_flops, decode_flops = hunyuan_queue.decode_flops + excluded.decode_flops, pixels = hunyuan_queue.pixels + excluded.pixels;
 RETURN NULL; END $$;
CREATE TABLE public.hunyuan_corrections (
    basis text NOT NULL,
    model text NOT NULL,
    "precision" text NOT NULL,
    stage text NOT NULL,
    factor double precision NOT NULL,
    spread double precision NOT NULL
);
CREATE TABLE public.hunyuan_deliveries (
    id text NOT NULL,
    job_id text NOT NULL,
    event text NOT NULL,
    "position" integer DEFAULT 0 NOT NULL,
    owner text DEFAULT ''::text NOT NULL,
    receiver text DEFAULT ''::text NOT NULL,
    job json NOT NULL,
    state text NOT NULL,
    in_vain boolean DEFAULT false NOT NULL,
    attempts integer NOT NULL,
    last_status integer,
    last_error text,
    created_at bigint NOT NULL,
    next_attempt_at bigint,
    last_attempt_at bigint
);
CREATE TABLE public.hunyuan_events (
    number bigint NOT NULL,
    job_id text NOT NULL,
    run integer NOT NULL,
    change text NOT NULL,
    state text NOT NULL,
    stage text,
    step integer NOT NULL,
    part integer DEFAULT 0 NOT NULL,
    parts integer DEFAULT 1 NOT NULL,
    at bigint NOT NULL
);
CREATE SEQUENCE public.hunyuan_events_number_seq
    START WITH 1
    INCREMENT BY 1
    NO MINVALUE
    NO MAXVALUE
    CACHE 1;
ALTER SEQUENCE public.hunyuan_events_number_seq OWNED BY public.hunyuan_events.number;
CREATE TABLE public.hunyuan_jobs (
    id text NOT NULL,
    owner text DEFAULT ''::text NOT NULL,
    state text NOT NULL,
    model text NOT NULL,
    params json NOT NULL,
    metadata json NOT NULL,
    priority integer NOT NULL,
    turn integer DEFAULT 0 NOT NULL,
    remixed_from text,
    seconds double precision,
    webhook_url text,
    webhook_events json,
    webhook_base text,
    created_at bigint NOT NULL,
    started_at bigint,
    completed_at bigint,
    expires_at bigint,
    run integer NOT NULL,
    executor_id text,
    attempts integer NOT NULL,
    failed_starts integer NOT NULL,
    resumed_from_step integer,
    stage text,
    step integer NOT NULL,
    part integer DEFAULT 0 NOT NULL,
    parts integer DEFAULT 1 NOT NULL,
    progressed_at bigint,
    has_preview boolean NOT NULL,
    draft_steps integer,
    has_draft boolean DEFAULT false NOT NULL,
    pausing boolean DEFAULT false NOT NULL,
    warnings json,
    error_code text,
    error_message text,
    clips double precision NOT NULL,
    evaluations double precision DEFAULT '0'::double precision NOT NULL,
    denoise_flops double precision NOT NULL,
    attention_flops double precision DEFAULT '0'::double precision NOT NULL,
    decode_flops double precision NOT NULL,
    pixels double precision NOT NULL
);
CREATE TABLE public.hunyuan_lanes (
    owner text NOT NULL,
    priority integer NOT NULL,
    delay integer NOT NULL
);
CREATE TABLE public.hunyuan_passage (
    id integer NOT NULL,
    at bigint NOT NULL,
    doubted bigint NOT NULL
);
CREATE TABLE public.hunyuan_queue (
    owner text NOT NULL,
    priority integer NOT NULL,
    stretch integer NOT NULL,
    model text NOT NULL,
    jobs integer NOT NULL,
    clips double precision NOT NULL,
    evaluations double precision NOT NULL,
    denoise_flops double precision NOT NULL,
    attention_flops double precision NOT NULL,
    decode_flops double precision NOT NULL,
    pixels double precision NOT NULL
);
CREATE TABLE public.hunyuan_schema (
    version integer NOT NULL
);
CREATE TABLE public.hunyuan_secrets (
    name text NOT NULL,
    value text NOT NULL
);
CREATE TABLE public.hunyuan_submissions (
    key text NOT NULL,
    fingerprint text NOT NULL,
    job_id text NOT NULL
);
CREATE TABLE public.hunyuan_workers (
    executor_id text NOT NULL,
    beat_at bigint NOT NULL,
    profile json
);
ALTER TABLE ONLY public.hunyuan_events ALTER COLUMN number SET DEFAULT nextval('public.hunyuan_events_number_seq'::regclass);
INSERT INTO public.hunyuan_deliveries VALUES ('18ec81859bd2502e770ab61efd87-1-completed', '18ec81859bd2502e770ab61efd87', 'completed', 3, 'ana', '127.0.0.1:9', '{"id": "18ec81859bd2502e770ab61efd87", "owner": "ana", "state": "completed", "model": "demo", "params": {"prompt": "completed", "negative_prompt": null, "model": "demo", "width": 64, "height": 64, "num_frames": 1, "fps": 15, "num_inference_steps": 5, "seed": 1, "guidance_scale": 6.0, "true_cfg_scale": 1.0, "flow_shift": 5.0, "step_cache": "balanced"}, "metadata": {}, "priority": 10, "turn": 1, "remixed_from": null, "seconds": null, "webhook_url": "http://127.0.0.1:9/hook?token=1", "webhook_events": ["started", "completed", "failed", "canceled"], "webhook_base": "", "created_at": 1795952762258, "started_at": 1795952762509, "completed_at": 1795952762821, "expires_at": 4000000000000, "run": 1, "executor_id": null, "attempts": 1, "failed_starts": 0, "resumed_from_step": null, "stage": "publishing", "step": 5, "part": 0, "parts": 1, "progressed_at": 1795952762805, "has_preview": false, "draft_steps": null, "has_draft": false, "pausing": false, "warnings": null, "error_code": null, "error_message": null, "clips": 1.0, "evaluations": 3.0, "denoise_flops": 215875584.0, "attention_flops": 3538944.0, "decode_flops": 286720000.0, "pixels": 4096.0}', 'pending', false, 0, NULL, NULL, 1795952762840, 1795952762840, NULL);
INSERT INTO public.hunyuan_deliveries VALUES ('18ec8185be76467a4b742731a46e-1-failed', '18ec8185be76467a4b742731a46e', 'failed', 3, 'ana', '127.0.0.1:9', '{"id": "18ec8185be76467a4b742731a46e", "owner": "ana", "state": "failed", "model": "demo", "params": {"prompt": "failed", "negative_prompt": null, "model": "demo", "width": 64, "height": 64, "num_frames": 1, "fps": 15, "num_inference_steps": 5, "seed": 1, "guidance_scale": 6.0, "true_cfg_scale": 1.0, "flow_shift": 5.0, "step_cache": "balanced"}, "metadata": {}, "priority": 10, "turn": 1, "remixed_from": null, "seconds": null, "webhook_url": "http://127.0.0.1:9/hook?token=1", "webhook_events": ["started", "completed", "failed", "canceled"], "webhook_base": "", "created_at": 1795952762840, "started_at": 1795952762902, "completed_at": 1795952763012, "expires_at": 4000000000000, "run": 1, "executor_id": null, "attempts": 1, "failed_starts": 0, "resumed_from_step": null, "stage": "denoising", "step": 2, "part": 0, "parts": 1, "progressed_at": 1795952762993, "has_preview": false, "draft_steps": null, "has_draft": false, "pausing": false, "warnings": null, "error_code": "broken", "error_message": "it broke", "clips": 1.0, "evaluations": 3.0, "denoise_flops": 215875584.0, "attention_flops": 3538944.0, "decode_flops": 286720000.0, "pixels": 4096.0}', 'pending', false, 0, NULL, NULL, 1795952763085, 1795952763085, NULL);
INSERT INTO public.hunyuan_deliveries VALUES ('18ec8185d0acbdd292d30dc929f4-1-failed', '18ec8185d0acbdd292d30dc929f4', 'failed', 3, 'ana', '127.0.0.1:9', '{"id": "18ec8185d0acbdd292d30dc929f4", "owner": "ana", "state": "failed", "model": "demo", "params": {"prompt": "queued again by a retry", "negative_prompt": null, "model": "demo", "width": 64, "height": 64, "num_frames": 1, "fps": 15, "num_inference_steps": 5, "seed": 1, "guidance_scale": 6.0, "true_cfg_scale": 1.0, "flow_shift": 5.0, "step_cache": "balanced"}, "metadata": {}, "priority": 10, "turn": 1, "remixed_from": null, "seconds": null, "webhook_url": "http://127.0.0.1:9/hook?token=1", "webhook_events": ["started", "completed", "failed", "canceled"], "webhook_base": "", "created_at": 1795952763145, "started_at": 1795952763250, "completed_at": 1795952763311, "expires_at": 4000000000000, "run": 1, "executor_id": null, "attempts": 1, "failed_starts": 0, "resumed_from_step": null, "stage": "denoising", "step": 1, "part": 0, "parts": 1, "progressed_at": 1795952763302, "has_preview": false, "draft_steps": null, "has_draft": false, "pausing": false, "warnings": null, "error_code": "broken", "error_message": "it broke", "clips": 1.0, "evaluations": 3.0, "denoise_flops": 215875584.0, "attention_flops": 3538944.0, "decode_flops": 286720000.0, "pixels": 4096.0}', 'pending', false, 0, NULL, NULL, 1795952763338, 1795952763338, NULL);
INSERT INTO public.hunyuan_deliveries VALUES ('18ec8185e34508796c0f90fb8077-started', '18ec8185e34508796c0f90fb8077', 'started', 2, 'ana', '127.0.0.1:9', '{"id": "18ec8185e34508796c0f90fb8077", "owner": "ana", "state": "in_progress", "model": "demo", "params": {"prompt": "paused with its draft", "negative_prompt": null, "model": "demo", "width": 64, "height": 64, "num_frames": 1, "fps": 15, "num_inference_steps": 5, "seed": 1, "guidance_scale": 6.0, "true_cfg_scale": 1.0, "flow_shift": 5.0, "step_cache": "balanced"}, "metadata": {}, "priority": 10, "turn": 1, "remixed_from": null, "seconds": null, "webhook_url": "http://127.0.0.1:9/hook?token=1", "webhook_events": ["started", "completed", "failed", "canceled"], "webhook_base": "", "created_at": 1795952763457, "started_at": 1795952763715, "completed_at": null, "expires_at": null, "run": 1, "executor_id": "vm-b453fbe45034", "attempts": 1, "failed_starts": 1, "resumed_from_step": null, "stage": "loading", "step": 0, "part": 0, "parts": 1, "progressed_at": 1795952763715, "has_preview": false, "draft_steps": 2, "has_draft": false, "pausing": false, "warnings": null, "error_code": null, "error_message": null, "clips": 1.0, "evaluations": 3.0, "denoise_flops": 215875584.0, "attention_flops": 3538944.0, "decode_flops": 286720000.0, "pixels": 4096.0}', 'pending', false, 0, NULL, NULL, 1795952763754, 1795952763754, NULL);
INSERT INTO public.hunyuan_deliveries VALUES ('18ec8186015b5d35e5f32ee3c745-started', '18ec8186015b5d35e5f32ee3c745', 'started', 2, 'ana', '127.0.0.1:9', '{"id": "18ec8186015b5d35e5f32ee3c745", "owner": "ana", "state": "in_progress", "model": "demo", "params": {"prompt": "canceled while it was rendered", "negative_prompt": null, "model": "demo", "width": 64, "height": 64, "num_frames": 1, "fps": 15, "num_inference_steps": 5, "seed": 1, "guidance_scale": 6.0, "true_cfg_scale": 1.0, "flow_shift": 5.0, "step_cache": "balanced"}, "metadata": {}, "priority": 10, "turn": 1, "remixed_from": null, "seconds": null, "webhook_url": "http://127.0.0.1:9/hook?token=1", "webhook_events": ["started", "completed", "failed", "canceled"], "webhook_base": "", "created_at": 1795952763962, "started_at": 1795952764116, "completed_at": null, "expires_at": null, "run": 1, "executor_id": "vm-b453fbe45034", "attempts": 1, "failed_starts": 1, "resumed_from_step": null, "stage": "loading", "step": 0, "part": 0, "parts": 1, "progressed_at": 1795952764116, "has_preview": false, "draft_steps": null, "has_draft": false, "pausing": false, "warnings": null, "error_code": null, "error_message": null, "clips": 1.0, "evaluations": 3.0, "denoise_flops": 215875584.0, "attention_flops": 3538944.0, "decode_flops": 286720000.0, "pixels": 4096.0}', 'pending', false, 0, NULL, NULL, 1795952764143, 1795952764143, NULL);
INSERT INTO public.hunyuan_deliveries VALUES ('18ec8186015b5d35e5f32ee3c745-1-canceled', '18ec8186015b5d35e5f32ee3c745', 'canceled', 3, 'ana', '127.0.0.1:9', '{"id": "18ec8186015b5d35e5f32ee3c745", "owner": "ana", "state": "canceled", "model": "demo", "params": {"prompt": "canceled while it was rendered", "negative_prompt": null, "model": "demo", "width": 64, "height": 64, "num_frames": 1, "fps": 15, "num_inference_steps": 5, "seed": 1, "guidance_scale": 6.0, "true_cfg_scale": 1.0, "flow_shift": 5.0, "step_cache": "balanced"}, "metadata": {}, "priority": 10, "turn": 1, "remixed_from": null, "seconds": null, "webhook_url": "http://127.0.0.1:9/hook?token=1", "webhook_events": ["started", "completed", "failed", "canceled"], "webhook_base": "", "created_at": 1795952763962, "started_at": 1795952764116, "completed_at": 1795952764232, "expires_at": 5395952764251, "run": 1, "executor_id": "vm-b453fbe45034", "attempts": 1, "failed_starts": 0, "resumed_from_step": null, "stage": "denoising", "step": 3, "part": 0, "parts": 1, "progressed_at": 1795952764213, "has_preview": false, "draft_steps": null, "has_draft": false, "pausing": false, "warnings": null, "error_code": null, "error_message": null, "clips": 1.0, "evaluations": 3.0, "denoise_flops": 215875584.0, "attention_flops": 3538944.0, "decode_flops": 286720000.0, "pixels": 4096.0}', 'pending', false, 0, NULL, NULL, 1795952764276, 1795952764276, NULL);
INSERT INTO public.hunyuan_deliveries VALUES ('18ec8185be76467a4b742731a46e-started', '18ec8185be76467a4b742731a46e', 'started', 2, 'ana', '127.0.0.1:9', '{"id": "18ec8185be76467a4b742731a46e", "owner": "ana", "state": "in_progress", "model": "demo", "params": {"prompt": "failed", "negative_prompt": null, "model": "demo", "width": 64, "height": 64, "num_frames": 1, "fps": 15, "num_inference_steps": 5, "seed": 1, "guidance_scale": 6.0, "true_cfg_scale": 1.0, "flow_shift": 5.0, "step_cache": "balanced"}, "metadata": {}, "priority": 10, "turn": 1, "remixed_from": null, "seconds": null, "webhook_url": "http://127.0.0.1:9/hook?token=1", "webhook_events": ["started", "completed", "failed", "canceled"], "webhook_base": "", "created_at": 1795952762840, "started_at": 1795952762902, "completed_at": null, "expires_at": null, "run": 1, "executor_id": "vm-b453fbe45034", "attempts": 1, "failed_starts": 1, "resumed_from_step": null, "stage": "loading", "step": 0, "part": 0, "parts": 1, "progressed_at": 1795952762902, "has_preview": false, "draft_steps": null, "has_draft": false, "pausing": false, "warnings": null, "error_code": null, "error_message": null, "clips": 1.0, "evaluations": 3.0, "denoise_flops": 215875584.0, "attention_flops": 3538944.0, "decode_flops": 286720000.0, "pixels": 4096.0}', 'pending', true, 1, NULL, 'no answer in time', 1795952762926, 1795952769402, 1795952764336);
INSERT INTO public.hunyuan_deliveries VALUES ('18ec8185d0acbdd292d30dc929f4-started', '18ec8185d0acbdd292d30dc929f4', 'started', 2, 'ana', '127.0.0.1:9', '{"id": "18ec8185d0acbdd292d30dc929f4", "owner": "ana", "state": "in_progress", "model": "demo", "params": {"prompt": "queued again by a retry", "negative_prompt": null, "model": "demo", "width": 64, "height": 64, "num_frames": 1, "fps": 15, "num_inference_steps": 5, "seed": 1, "guidance_scale": 6.0, "true_cfg_scale": 1.0, "flow_shift": 5.0, "step_cache": "balanced"}, "metadata": {}, "priority": 10, "turn": 1, "remixed_from": null, "seconds": null, "webhook_url": "http://127.0.0.1:9/hook?token=1", "webhook_events": ["started", "completed", "failed", "canceled"], "webhook_base": "", "created_at": 1795952763145, "started_at": 1795952763250, "completed_at": null, "expires_at": null, "run": 1, "executor_id": "vm-b453fbe45034", "attempts": 1, "failed_starts": 1, "resumed_from_step": null, "stage": "loading", "step": 0, "part": 0, "parts": 1, "progressed_at": 1795952763250, "has_preview": false, "draft_steps": null, "has_draft": false, "pausing": false, "warnings": null, "error_code": null, "error_message": null, "clips": 1.0, "evaluations": 3.0, "denoise_flops": 215875584.0, "attention_flops": 3538944.0, "decode_flops": 286720000.0, "pixels": 4096.0}', 'failed', false, 1, 410, NULL, 1795952763259, NULL, 1795952764352);
INSERT INTO public.hunyuan_deliveries VALUES ('18ec81859bd2502e770ab61efd87-started', '18ec81859bd2502e770ab61efd87', 'started', 2, 'ana', '127.0.0.1:9', '{"id": "18ec81859bd2502e770ab61efd87", "owner": "ana", "state": "in_progress", "model": "demo", "params": {"prompt": "completed", "negative_prompt": null, "model": "demo", "width": 64, "height": 64, "num_frames": 1, "fps": 15, "num_inference_steps": 5, "seed": 1, "guidance_scale": 6.0, "true_cfg_scale": 1.0, "flow_shift": 5.0, "step_cache": "balanced"}, "metadata": {}, "priority": 10, "turn": 1, "remixed_from": null, "seconds": null, "webhook_url": "http://127.0.0.1:9/hook?token=1", "webhook_events": ["started", "completed", "failed", "canceled"], "webhook_base": "", "created_at": 1795952762258, "started_at": 1795952762509, "completed_at": null, "expires_at": null, "run": 1, "executor_id": "vm-b453fbe45034", "attempts": 1, "failed_starts": 1, "resumed_from_step": null, "stage": "loading", "step": 0, "part": 0, "parts": 1, "progressed_at": 1795952762509, "has_preview": false, "draft_steps": null, "has_draft": false, "pausing": false, "warnings": null, "error_code": null, "error_message": null, "clips": 1.0, "evaluations": 3.0, "denoise_flops": 215875584.0, "attention_flops": 3538944.0, "decode_flops": 286720000.0, "pixels": 4096.0}', 'delivered', false, 1, 204, NULL, 1795952762537, NULL, 1795952764308);
INSERT INTO public.hunyuan_deliveries VALUES ('18ec81861c015b20b8b7bd46ec7b-started', '18ec81861c015b20b8b7bd46ec7b', 'started', 2, 'ana', '127.0.0.1:9', '{"id": "18ec81861c015b20b8b7bd46ec7b", "owner": "ana", "state": "in_progress", "model": "demo", "params": {"prompt": "pausing at step 1", "negative_prompt": null, "model": "demo", "width": 64, "height": 64, "num_frames": 1, "fps": 15, "num_inference_steps": 5, "seed": 1, "guidance_scale": 6.0, "true_cfg_scale": 1.0, "flow_shift": 5.0, "step_cache": "balanced"}, "metadata": {}, "priority": 10, "turn": 1, "remixed_from": null, "seconds": null, "webhook_url": "http://127.0.0.1:9/hook?token=1", "webhook_events": ["started", "completed", "failed", "canceled"], "webhook_base": "", "created_at": 1795952764409, "started_at": 1795952764474, "completed_at": null, "expires_at": null, "run": 1, "executor_id": "vm-b453fbe45034", "attempts": 1, "failed_starts": 1, "resumed_from_step": null, "stage": "loading", "step": 0, "part": 0, "parts": 1, "progressed_at": 1795952764474, "has_preview": false, "draft_steps": null, "has_draft": false, "pausing": false, "warnings": null, "error_code": null, "error_message": null, "clips": 1.0, "evaluations": 3.0, "denoise_flops": 215875584.0, "attention_flops": 3538944.0, "decode_flops": 286720000.0, "pixels": 4096.0}', 'pending', false, 0, NULL, NULL, 1795952764492, 1795952764492, NULL);
INSERT INTO public.hunyuan_deliveries VALUES ('18ec818626fc2410b182ec6a55b5-started', '18ec818626fc2410b182ec6a55b5', 'started', 2, '', '127.0.0.1:9', '{"id": "18ec818626fc2410b182ec6a55b5", "owner": "", "state": "in_progress", "model": "demo", "params": {"prompt": "running at step 3", "negative_prompt": null, "model": "demo", "width": 64, "height": 64, "num_frames": 1, "fps": 15, "num_inference_steps": 5, "seed": 1, "guidance_scale": 6.0, "true_cfg_scale": 1.0, "flow_shift": 5.0, "step_cache": "balanced"}, "metadata": {}, "priority": 10, "turn": 2, "remixed_from": null, "seconds": null, "webhook_url": "http://127.0.0.1:9/hook?token=1", "webhook_events": ["started", "completed", "failed", "canceled"], "webhook_base": "", "created_at": 1795952764593, "started_at": 1795952764818, "completed_at": null, "expires_at": null, "run": 1, "executor_id": "vm-6a669131a319", "attempts": 1, "failed_starts": 1, "resumed_from_step": null, "stage": "loading", "step": 0, "part": 0, "parts": 1, "progressed_at": 1795952764818, "has_preview": false, "draft_steps": null, "has_draft": false, "pausing": false, "warnings": null, "error_code": null, "error_message": null, "clips": 1.0, "evaluations": 3.0, "denoise_flops": 215875584.0, "attention_flops": 3538944.0, "decode_flops": 286720000.0, "pixels": 4096.0}', 'pending', false, 0, NULL, NULL, 1795952764827, 1795952764827, NULL);
INSERT INTO public.hunyuan_deliveries VALUES ('18ec818661c397ad6b2647f3410a-1-canceled', '18ec818661c397ad6b2647f3410a', 'canceled', 3, 'ana', '127.0.0.1:9', '{"id": "18ec818661c397ad6b2647f3410a", "owner": "ana", "state": "canceled", "model": "demo", "params": {"prompt": "canceled in the queue", "negative_prompt": null, "model": "demo", "width": 64, "height": 64, "num_frames": 1, "fps": 15, "num_inference_steps": 5, "seed": 1, "guidance_scale": 6.0, "true_cfg_scale": 1.0, "flow_shift": 5.0, "step_cache": "balanced"}, "metadata": {}, "priority": 0, "turn": 4, "remixed_from": null, "seconds": null, "webhook_url": "http://127.0.0.1:9/hook?token=1", "webhook_events": ["started", "completed", "failed", "canceled"], "webhook_base": "", "created_at": 1795952765579, "started_at": null, "completed_at": 1795952765625, "expires_at": 5395952765630, "run": 1, "executor_id": null, "attempts": 0, "failed_starts": 0, "resumed_from_step": null, "stage": "queued", "step": 0, "part": 0, "parts": 1, "progressed_at": null, "has_preview": false, "draft_steps": null, "has_draft": false, "pausing": false, "warnings": null, "error_code": null, "error_message": null, "clips": 1.0, "evaluations": 3.0, "denoise_flops": 215875584.0, "attention_flops": 3538944.0, "decode_flops": 286720000.0, "pixels": 4096.0}', 'pending', false, 0, NULL, NULL, 1795952765641, 1795952765641, NULL);
INSERT INTO public.hunyuan_deliveries VALUES ('18ec81866570b9f231565f547092-1-canceled', '18ec81866570b9f231565f547092', 'canceled', 3, 'ana', '127.0.0.1:9', '{"id": "18ec81866570b9f231565f547092", "owner": "ana", "state": "canceled", "model": "demo", "params": {"prompt": "canceled while it was paused", "negative_prompt": null, "model": "demo", "width": 64, "height": 64, "num_frames": 1, "fps": 15, "num_inference_steps": 5, "seed": 1, "guidance_scale": 6.0, "true_cfg_scale": 1.0, "flow_shift": 5.0, "step_cache": "balanced"}, "metadata": {}, "priority": 0, "turn": 4, "remixed_from": null, "seconds": null, "webhook_url": "http://127.0.0.1:9/hook?token=1", "webhook_events": ["started", "completed", "failed", "canceled"], "webhook_base": "", "created_at": 1795952765641, "started_at": null, "completed_at": 1795952765809, "expires_at": 5395952765810, "run": 1, "executor_id": null, "attempts": 0, "failed_starts": 0, "resumed_from_step": null, "stage": "paused", "step": 0, "part": 0, "parts": 1, "progressed_at": null, "has_preview": false, "draft_steps": null, "has_draft": false, "pausing": false, "warnings": null, "error_code": null, "error_message": null, "clips": 1.0, "evaluations": 3.0, "denoise_flops": 215875584.0, "attention_flops": 3538944.0, "decode_flops": 286720000.0, "pixels": 4096.0}', 'pending', false, 0, NULL, NULL, 1795952765829, 1795952765829, NULL);
INSERT INTO public.hunyuan_events VALUES (1, '18ec81859bd2502e770ab61efd87', 1, 'state', 'pending', 'queued', 0, 0, 1, 1795952762341);
INSERT INTO public.hunyuan_events VALUES (2, '18ec81859bd2502e770ab61efd87', 1, 'state', 'in_progress', 'loading', 0, 0, 1, 1795952762514);
INSERT INTO public.hunyuan_events VALUES (3, '18ec81859bd2502e770ab61efd87', 1, 'progress', 'in_progress', 'encoding', 0, 0, 1, 1795952762564);
INSERT INTO public.hunyuan_events VALUES (4, '18ec81859bd2502e770ab61efd87', 1, 'progress', 'in_progress', 'denoising', 0, 0, 1, 1795952762587);
INSERT INTO public.hunyuan_events VALUES (5, '18ec81859bd2502e770ab61efd87', 1, 'progress', 'in_progress', 'denoising', 1, 0, 1, 1795952762641);
INSERT INTO public.hunyuan_events VALUES (6, '18ec81859bd2502e770ab61efd87', 1, 'progress', 'in_progress', 'denoising', 2, 0, 1, 1795952762671);
INSERT INTO public.hunyuan_events VALUES (7, '18ec81859bd2502e770ab61efd87', 1, 'progress', 'in_progress', 'denoising', 3, 0, 1, 1795952762729);
INSERT INTO public.hunyuan_events VALUES (8, '18ec81859bd2502e770ab61efd87', 1, 'progress', 'in_progress', 'denoising', 4, 0, 1, 1795952762753);
INSERT INTO public.hunyuan_events VALUES (9, '18ec81859bd2502e770ab61efd87', 1, 'progress', 'in_progress', 'denoising', 5, 0, 1, 1795952762774);
INSERT INTO public.hunyuan_events VALUES (10, '18ec81859bd2502e770ab61efd87', 1, 'progress', 'in_progress', 'decoding', 5, 0, 1, 1795952762799);
INSERT INTO public.hunyuan_events VALUES (11, '18ec81859bd2502e770ab61efd87', 1, 'progress', 'in_progress', 'publishing', 5, 0, 1, 1795952762818);
INSERT INTO public.hunyuan_events VALUES (12, '18ec81859bd2502e770ab61efd87', 1, 'state', 'completed', 'publishing', 5, 0, 1, 1795952762837);
INSERT INTO public.hunyuan_events VALUES (13, '18ec8185be76467a4b742731a46e', 1, 'state', 'pending', 'queued', 0, 0, 1, 1795952762845);
INSERT INTO public.hunyuan_events VALUES (14, '18ec8185be76467a4b742731a46e', 1, 'state', 'in_progress', 'loading', 0, 0, 1, 1795952762912);
INSERT INTO public.hunyuan_events VALUES (15, '18ec8185be76467a4b742731a46e', 1, 'progress', 'in_progress', 'encoding', 0, 0, 1, 1795952762946);
INSERT INTO public.hunyuan_events VALUES (16, '18ec8185be76467a4b742731a46e', 1, 'progress', 'in_progress', 'denoising', 0, 0, 1, 1795952762961);
INSERT INTO public.hunyuan_events VALUES (17, '18ec8185be76467a4b742731a46e', 1, 'progress', 'in_progress', 'denoising', 1, 0, 1, 1795952762985);
INSERT INTO public.hunyuan_events VALUES (18, '18ec8185be76467a4b742731a46e', 1, 'progress', 'in_progress', 'denoising', 2, 0, 1, 1795952763005);
INSERT INTO public.hunyuan_events VALUES (19, '18ec8185be76467a4b742731a46e', 1, 'state', 'failed', 'denoising', 2, 0, 1, 1795952763041);
INSERT INTO public.hunyuan_events VALUES (20, '18ec8185d0acbdd292d30dc929f4', 1, 'state', 'pending', 'queued', 0, 0, 1, 1795952763173);
INSERT INTO public.hunyuan_events VALUES (21, '18ec8185d0acbdd292d30dc929f4', 1, 'state', 'in_progress', 'loading', 0, 0, 1, 1795952763251);
INSERT INTO public.hunyuan_events VALUES (22, '18ec8185d0acbdd292d30dc929f4', 1, 'progress', 'in_progress', 'encoding', 0, 0, 1, 1795952763278);
INSERT INTO public.hunyuan_events VALUES (23, '18ec8185d0acbdd292d30dc929f4', 1, 'progress', 'in_progress', 'denoising', 0, 0, 1, 1795952763292);
INSERT INTO public.hunyuan_events VALUES (24, '18ec8185d0acbdd292d30dc929f4', 1, 'progress', 'in_progress', 'denoising', 1, 0, 1, 1795952763306);
INSERT INTO public.hunyuan_events VALUES (25, '18ec8185d0acbdd292d30dc929f4', 1, 'state', 'failed', 'denoising', 1, 0, 1, 1795952763320);
INSERT INTO public.hunyuan_events VALUES (26, '18ec8185d0acbdd292d30dc929f4', 2, 'state', 'pending', 'queued', 1, 0, 1, 1795952763362);
INSERT INTO public.hunyuan_events VALUES (27, '18ec8185d0acbdd292d30dc929f4', 2, 'state', 'pending', 'paused', 1, 0, 1, 1795952763433);
INSERT INTO public.hunyuan_events VALUES (28, '18ec8185e34508796c0f90fb8077', 1, 'state', 'pending', 'queued', 0, 0, 1, 1795952763547);
INSERT INTO public.hunyuan_events VALUES (29, '18ec8185e34508796c0f90fb8077', 1, 'state', 'in_progress', 'loading', 0, 0, 1, 1795952763732);
INSERT INTO public.hunyuan_events VALUES (30, '18ec8185e34508796c0f90fb8077', 1, 'progress', 'in_progress', 'encoding', 0, 0, 1, 1795952763785);
INSERT INTO public.hunyuan_events VALUES (31, '18ec8185e34508796c0f90fb8077', 1, 'progress', 'in_progress', 'denoising', 0, 0, 1, 1795952763835);
INSERT INTO public.hunyuan_events VALUES (32, '18ec8185e34508796c0f90fb8077', 1, 'progress', 'in_progress', 'denoising', 1, 0, 1, 1795952763874);
INSERT INTO public.hunyuan_events VALUES (33, '18ec8185e34508796c0f90fb8077', 1, 'progress', 'in_progress', 'denoising', 2, 0, 1, 1795952763905);
INSERT INTO public.hunyuan_events VALUES (34, '18ec8185e34508796c0f90fb8077', 1, 'state', 'pending', 'paused', 2, 0, 1, 1795952763953);
INSERT INTO public.hunyuan_events VALUES (35, '18ec8186015b5d35e5f32ee3c745', 1, 'state', 'pending', 'queued', 0, 0, 1, 1795952764012);
INSERT INTO public.hunyuan_events VALUES (36, '18ec8186015b5d35e5f32ee3c745', 1, 'state', 'in_progress', 'loading', 0, 0, 1, 1795952764126);
INSERT INTO public.hunyuan_events VALUES (37, '18ec8186015b5d35e5f32ee3c745', 1, 'progress', 'in_progress', 'encoding', 0, 0, 1, 1795952764166);
INSERT INTO public.hunyuan_events VALUES (38, '18ec8186015b5d35e5f32ee3c745', 1, 'progress', 'in_progress', 'denoising', 0, 0, 1, 1795952764190);
INSERT INTO public.hunyuan_events VALUES (39, '18ec8186015b5d35e5f32ee3c745', 1, 'progress', 'in_progress', 'denoising', 1, 0, 1, 1795952764204);
INSERT INTO public.hunyuan_events VALUES (40, '18ec8186015b5d35e5f32ee3c745', 1, 'progress', 'in_progress', 'denoising', 2, 0, 1, 1795952764213);
INSERT INTO public.hunyuan_events VALUES (41, '18ec8186015b5d35e5f32ee3c745', 1, 'progress', 'in_progress', 'denoising', 3, 0, 1, 1795952764224);
INSERT INTO public.hunyuan_events VALUES (42, '18ec8186015b5d35e5f32ee3c745', 1, 'state', 'canceled', 'denoising', 3, 0, 1, 1795952764253);
INSERT INTO public.hunyuan_events VALUES (43, '18ec81861c015b20b8b7bd46ec7b', 1, 'state', 'pending', 'queued', 0, 0, 1, 1795952764424);
INSERT INTO public.hunyuan_events VALUES (44, '18ec81861c015b20b8b7bd46ec7b', 1, 'state', 'in_progress', 'loading', 0, 0, 1, 1795952764479);
INSERT INTO public.hunyuan_events VALUES (45, '18ec81861c015b20b8b7bd46ec7b', 1, 'progress', 'in_progress', 'encoding', 0, 0, 1, 1795952764505);
INSERT INTO public.hunyuan_events VALUES (46, '18ec81861c015b20b8b7bd46ec7b', 1, 'progress', 'in_progress', 'denoising', 0, 0, 1, 1795952764518);
INSERT INTO public.hunyuan_events VALUES (47, '18ec81861c015b20b8b7bd46ec7b', 1, 'progress', 'in_progress', 'denoising', 1, 0, 1, 1795952764529);
INSERT INTO public.hunyuan_events VALUES (48, '18ec81861c015b20b8b7bd46ec7b', 1, 'state', 'in_progress', 'denoising', 1, 0, 1, 1795952764574);
INSERT INTO public.hunyuan_events VALUES (49, '18ec818626fc2410b182ec6a55b5', 1, 'state', 'pending', 'queued', 0, 0, 1, 1795952764630);
INSERT INTO public.hunyuan_events VALUES (50, '18ec818626fc2410b182ec6a55b5', 1, 'state', 'in_progress', 'loading', 0, 0, 1, 1795952764821);
INSERT INTO public.hunyuan_events VALUES (51, '18ec818626fc2410b182ec6a55b5', 1, 'progress', 'in_progress', 'denoising', 0, 0, 1, 1795952764850);
INSERT INTO public.hunyuan_events VALUES (52, '18ec818626fc2410b182ec6a55b5', 1, 'progress', 'in_progress', 'denoising', 1, 0, 1, 1795952764870);
INSERT INTO public.hunyuan_events VALUES (53, '18ec818626fc2410b182ec6a55b5', 1, 'progress', 'in_progress', 'denoising', 2, 0, 1, 1795952764893);
INSERT INTO public.hunyuan_events VALUES (54, '18ec818626fc2410b182ec6a55b5', 1, 'progress', 'in_progress', 'denoising', 3, 0, 1, 1795952765215);
INSERT INTO public.hunyuan_events VALUES (55, '18ec8185d0acbdd292d30dc929f4', 3, 'state', 'pending', 'queued', 1, 0, 1, 1795952765267);
INSERT INTO public.hunyuan_events VALUES (56, '18ec81865619f852e0499518e555', 1, 'state', 'pending', 'queued', 0, 0, 1, 1795952765473);
INSERT INTO public.hunyuan_events VALUES (57, '18ec81865619f852e0499518e555', 1, 'state', 'pending', 'paused', 0, 0, 1, 1795952765565);
INSERT INTO public.hunyuan_events VALUES (58, '18ec818661c397ad6b2647f3410a', 1, 'state', 'pending', 'queued', 0, 0, 1, 1795952765600);
INSERT INTO public.hunyuan_events VALUES (59, '18ec818661c397ad6b2647f3410a', 1, 'state', 'canceled', 'queued', 0, 0, 1, 1795952765630);
INSERT INTO public.hunyuan_events VALUES (60, '18ec81866570b9f231565f547092', 1, 'state', 'pending', 'queued', 0, 0, 1, 1795952765689);
INSERT INTO public.hunyuan_events VALUES (61, '18ec81866570b9f231565f547092', 1, 'state', 'pending', 'paused', 0, 0, 1, 1795952765782);
INSERT INTO public.hunyuan_events VALUES (62, '18ec81866570b9f231565f547092', 1, 'state', 'canceled', 'paused', 0, 0, 1, 1795952765813);
INSERT INTO public.hunyuan_events VALUES (63, '18ec818671a1003b8f2c3503c0fe', 1, 'state', 'pending', 'queued', 0, 0, 1, 1795952765867);
INSERT INTO public.hunyuan_events VALUES (64, '18ec818678e0dd6f81ae13737418', 1, 'state', 'pending', 'queued', 0, 0, 1, 1795952765985);
INSERT INTO public.hunyuan_events VALUES (65, '18ec81867cfe072fcce6339696d1', 1, 'state', 'pending', 'queued', 0, 0, 1, 1795952766062);
INSERT INTO public.hunyuan_events VALUES (66, '18ec81868217173458d5dfbe2ed0', 1, 'state', 'pending', 'queued', 0, 0, 1, 1795952766207);
INSERT INTO public.hunyuan_jobs VALUES ('18ec8185be76467a4b742731a46e', 'ana', 'failed', 'demo', '{"prompt": "failed", "negative_prompt": null, "model": "demo", "width": 64, "height": 64, "num_frames": 1, "fps": 15, "num_inference_steps": 5, "seed": 1, "guidance_scale": 6.0, "true_cfg_scale": 1.0, "flow_shift": 5.0, "step_cache": "balanced"}', '{}', 10, 1, NULL, NULL, 'http://127.0.0.1:9/hook?token=1', '["started", "completed", "failed", "canceled"]', '', 1795952762840, 1795952762902, 1795952763012, 4000000000000, 1, NULL, 1, 0, NULL, 'denoising', 2, 0, 1, 1795952762993, false, NULL, false, false, NULL, 'broken', 'it broke', 1, 3, 215875584, 3538944, 286720000, 4096);
INSERT INTO public.hunyuan_jobs VALUES ('18ec81859bd2502e770ab61efd87', 'ana', 'completed', 'demo', '{"prompt": "completed", "negative_prompt": null, "model": "demo", "width": 64, "height": 64, "num_frames": 1, "fps": 15, "num_inference_steps": 5, "seed": 1, "guidance_scale": 6.0, "true_cfg_scale": 1.0, "flow_shift": 5.0, "step_cache": "balanced"}', '{}', 10, 1, NULL, NULL, 'http://127.0.0.1:9/hook?token=1', '["started", "completed", "failed", "canceled"]', '', 1795952762258, 1795952762509, 1795952762821, 4000000000000, 1, NULL, 1, 0, NULL, 'publishing', 5, 0, 1, 1795952762805, false, NULL, false, false, NULL, NULL, NULL, 1, 3, 215875584, 3538944, 286720000, 4096);
INSERT INTO public.hunyuan_jobs VALUES ('18ec8185e34508796c0f90fb8077', 'ana', 'pending', 'demo', '{"prompt": "paused with its draft", "negative_prompt": null, "model": "demo", "width": 64, "height": 64, "num_frames": 1, "fps": 15, "num_inference_steps": 5, "seed": 1, "guidance_scale": 6.0, "true_cfg_scale": 1.0, "flow_shift": 5.0, "step_cache": "balanced"}', '{}', 10, 1, NULL, NULL, 'http://127.0.0.1:9/hook?token=1', '["started", "completed", "failed", "canceled"]', '', 1795952763457, 1795952763715, NULL, NULL, 1, NULL, 1, 0, NULL, 'paused', 2, 0, 1, 1795952763895, false, 2, true, false, NULL, NULL, NULL, 1, 3, 215875584, 3538944, 286720000, 4096);
INSERT INTO public.hunyuan_jobs VALUES ('18ec8186015b5d35e5f32ee3c745', 'ana', 'canceled', 'demo', '{"prompt": "canceled while it was rendered", "negative_prompt": null, "model": "demo", "width": 64, "height": 64, "num_frames": 1, "fps": 15, "num_inference_steps": 5, "seed": 1, "guidance_scale": 6.0, "true_cfg_scale": 1.0, "flow_shift": 5.0, "step_cache": "balanced"}', '{}', 10, 1, NULL, NULL, 'http://127.0.0.1:9/hook?token=1', '["started", "completed", "failed", "canceled"]', '', 1795952763962, 1795952764116, 1795952764232, 5395952764251, 1, 'vm-b453fbe45034', 1, 0, NULL, 'denoising', 3, 0, 1, 1795952764213, false, NULL, false, false, NULL, NULL, NULL, 1, 3, 215875584, 3538944, 286720000, 4096);
INSERT INTO public.hunyuan_jobs VALUES ('18ec8185d0acbdd292d30dc929f4', 'ana', 'pending', 'demo', '{"prompt": "queued again by a retry", "negative_prompt": null, "model": "demo", "width": 64, "height": 64, "num_frames": 1, "fps": 15, "num_inference_steps": 5, "seed": 1, "guidance_scale": 6.0, "true_cfg_scale": 1.0, "flow_shift": 5.0, "step_cache": "balanced"}', '{}', 10, 3, NULL, NULL, 'http://127.0.0.1:9/hook?token=1', '["started", "completed", "failed", "canceled"]', '', 1795952763145, 1795952763250, NULL, NULL, 3, NULL, 1, 0, NULL, 'queued', 1, 0, 1, NULL, false, NULL, false, false, NULL, NULL, NULL, 1, 3, 215875584, 3538944, 286720000, 4096);
INSERT INTO public.hunyuan_jobs VALUES ('18ec81861c015b20b8b7bd46ec7b', 'ana', 'in_progress', 'demo', '{"prompt": "pausing at step 1", "negative_prompt": null, "model": "demo", "width": 64, "height": 64, "num_frames": 1, "fps": 15, "num_inference_steps": 5, "seed": 1, "guidance_scale": 6.0, "true_cfg_scale": 1.0, "flow_shift": 5.0, "step_cache": "balanced"}', '{}', 10, 1, NULL, NULL, 'http://127.0.0.1:9/hook?token=1', '["started", "completed", "failed", "canceled"]', '', 1795952764409, 1795952764474, NULL, NULL, 1, 'vm-b453fbe45034', 1, 0, NULL, 'denoising', 1, 0, 1, 1795952764520, false, NULL, false, true, NULL, NULL, NULL, 1, 3, 215875584, 3538944, 286720000, 4096);
INSERT INTO public.hunyuan_jobs VALUES ('18ec818626fc2410b182ec6a55b5', '', 'in_progress', 'demo', '{"prompt": "running at step 3", "negative_prompt": null, "model": "demo", "width": 64, "height": 64, "num_frames": 1, "fps": 15, "num_inference_steps": 5, "seed": 1, "guidance_scale": 6.0, "true_cfg_scale": 1.0, "flow_shift": 5.0, "step_cache": "balanced"}', '{}', 10, 2, NULL, NULL, 'http://127.0.0.1:9/hook?token=1', '["started", "completed", "failed", "canceled"]', '', 1795952764593, 1795952764818, NULL, NULL, 1, 'vm-6a669131a319', 1, 0, NULL, 'denoising', 3, 0, 1, 1795952764924, false, NULL, false, false, NULL, NULL, NULL, 1, 3, 215875584, 3538944, 286720000, 4096);
INSERT INTO public.hunyuan_jobs VALUES ('18ec81865619f852e0499518e555', 'ana', 'pending', 'demo', '{"prompt": "paused in the queue", "negative_prompt": null, "model": "demo", "width": 64, "height": 64, "num_frames": 1, "fps": 15, "num_inference_steps": 5, "seed": 1, "guidance_scale": 6.0, "true_cfg_scale": 1.0, "flow_shift": 5.0, "step_cache": "balanced"}', '{}', 0, 4, NULL, NULL, 'http://127.0.0.1:9/hook?token=1', '["started", "completed", "failed", "canceled"]', '', 1795952765384, NULL, NULL, NULL, 1, NULL, 0, 0, NULL, 'paused', 0, 0, 1, NULL, false, NULL, false, false, NULL, NULL, NULL, 1, 3, 215875584, 3538944, 286720000, 4096);
INSERT INTO public.hunyuan_jobs VALUES ('18ec818661c397ad6b2647f3410a', 'ana', 'canceled', 'demo', '{"prompt": "canceled in the queue", "negative_prompt": null, "model": "demo", "width": 64, "height": 64, "num_frames": 1, "fps": 15, "num_inference_steps": 5, "seed": 1, "guidance_scale": 6.0, "true_cfg_scale": 1.0, "flow_shift": 5.0, "step_cache": "balanced"}', '{}', 0, 4, NULL, NULL, 'http://127.0.0.1:9/hook?token=1', '["started", "completed", "failed", "canceled"]', '', 1795952765579, NULL, 1795952765625, 5395952765630, 1, NULL, 0, 0, NULL, 'queued', 0, 0, 1, NULL, false, NULL, false, false, NULL, NULL, NULL, 1, 3, 215875584, 3538944, 286720000, 4096);
INSERT INTO public.hunyuan_jobs VALUES ('18ec81866570b9f231565f547092', 'ana', 'canceled', 'demo', '{"prompt": "canceled while it was paused", "negative_prompt": null, "model": "demo", "width": 64, "height": 64, "num_frames": 1, "fps": 15, "num_inference_steps": 5, "seed": 1, "guidance_scale": 6.0, "true_cfg_scale": 1.0, "flow_shift": 5.0, "step_cache": "balanced"}', '{}', 0, 4, NULL, NULL, 'http://127.0.0.1:9/hook?token=1', '["started", "completed", "failed", "canceled"]', '', 1795952765641, NULL, 1795952765809, 5395952765810, 1, NULL, 0, 0, NULL, 'paused', 0, 0, 1, NULL, false, NULL, false, false, NULL, NULL, NULL, 1, 3, 215875584, 3538944, 286720000, 4096);
INSERT INTO public.hunyuan_jobs VALUES ('18ec818671a1003b8f2c3503c0fe', 'ana', 'pending', 'demo', '{"prompt": "queued", "negative_prompt": null, "model": "demo", "width": 64, "height": 64, "num_frames": 1, "fps": 15, "num_inference_steps": 5, "seed": 1, "guidance_scale": 6.0, "true_cfg_scale": 1.0, "flow_shift": 5.0, "step_cache": "balanced"}', '{"scene": "7"}', 0, 4, NULL, NULL, 'http://127.0.0.1:9/hook?token=1', '["started", "completed", "failed", "canceled"]', '', 1795952765845, NULL, NULL, NULL, 1, NULL, 0, 0, NULL, 'queued', 0, 0, 1, NULL, false, NULL, false, false, NULL, NULL, NULL, 1, 3, 215875584, 3538944, 286720000, 4096);
INSERT INTO public.hunyuan_jobs VALUES ('18ec818678e0dd6f81ae13737418', 'bo', 'pending', 'demo', '{"prompt": "queued", "negative_prompt": null, "model": "demo", "width": 64, "height": 64, "num_frames": 1, "fps": 15, "num_inference_steps": 5, "seed": 1, "guidance_scale": 6.0, "true_cfg_scale": 1.0, "flow_shift": 5.0, "step_cache": "balanced"}', '{}', 0, 3, NULL, NULL, 'http://127.0.0.1:9/hook?token=1', '["started", "completed", "failed", "canceled"]', '', 1795952765967, NULL, NULL, NULL, 1, NULL, 0, 0, NULL, 'queued', 0, 0, 1, NULL, false, NULL, false, false, NULL, NULL, NULL, 1, 3, 215875584, 3538944, 286720000, 4096);
INSERT INTO public.hunyuan_jobs VALUES ('18ec81867cfe072fcce6339696d1', 'ana', 'pending', 'demo', '{"prompt": "queued before the others", "negative_prompt": null, "model": "demo", "width": 64, "height": 64, "num_frames": 1, "fps": 15, "num_inference_steps": 5, "seed": 1, "guidance_scale": 6.0, "true_cfg_scale": 1.0, "flow_shift": 5.0, "step_cache": "balanced"}', '{}', 5, 4, NULL, NULL, 'http://127.0.0.1:9/hook?token=1', '["started", "completed", "failed", "canceled"]', '', 1795952766036, NULL, NULL, NULL, 1, NULL, 0, 0, NULL, 'queued', 0, 0, 1, NULL, false, NULL, false, false, NULL, NULL, NULL, 1, 3, 215875584, 3538944, 286720000, 4096);
INSERT INTO public.hunyuan_jobs VALUES ('18ec81868217173458d5dfbe2ed0', 'bo', 'pending', 'demo', '{"prompt": "queued after the others", "negative_prompt": null, "model": "demo", "width": 64, "height": 64, "num_frames": 1, "fps": 15, "num_inference_steps": 5, "seed": 1, "guidance_scale": 6.0, "true_cfg_scale": 1.0, "flow_shift": 5.0, "step_cache": "balanced"}', '{}', -5, 4, NULL, NULL, 'http://127.0.0.1:9/hook?token=1', '["started", "completed", "failed", "canceled"]', '', 1795952766122, NULL, NULL, NULL, 1, NULL, 0, 0, NULL, 'queued', 0, 0, 1, NULL, false, NULL, false, false, NULL, NULL, NULL, 1, 3, 215875584, 3538944, 286720000, 4096);
INSERT INTO public.hunyuan_lanes VALUES ('ana', 0, 1);
INSERT INTO public.hunyuan_queue VALUES ('ana', 10, 0, 'demo', 1, 1, 3, 215875584, 3538944, 286720000, 4096);
INSERT INTO public.hunyuan_queue VALUES ('ana', 0, 0, 'demo', 1, 1, 3, 215875584, 3538944, 286720000, 4096);
INSERT INTO public.hunyuan_queue VALUES ('bo', 0, 0, 'demo', 1, 1, 3, 215875584, 3538944, 286720000, 4096);
INSERT INTO public.hunyuan_queue VALUES ('ana', 5, 0, 'demo', 1, 1, 3, 215875584, 3538944, 286720000, 4096);
INSERT INTO public.hunyuan_queue VALUES ('bo', -5, 0, 'demo', 1, 1, 3, 215875584, 3538944, 286720000, 4096);
INSERT INTO public.hunyuan_schema VALUES (2);
INSERT INTO public.hunyuan_submissions VALUES ('ana:key', 'fingerprint', '18ec818671a1003b8f2c3503c0fe');
SELECT pg_catalog.setval('public.hunyuan_events_number_seq', 66, true);
ALTER TABLE ONLY public.hunyuan_corrections
    ADD CONSTRAINT hunyuan_corrections_pkey PRIMARY KEY (basis, model, "precision", stage);
ALTER TABLE ONLY public.hunyuan_deliveries
    ADD CONSTRAINT hunyuan_deliveries_pkey PRIMARY KEY (id);
ALTER TABLE ONLY public.hunyuan_events
    ADD CONSTRAINT hunyuan_events_pkey PRIMARY KEY (number);
ALTER TABLE ONLY public.hunyuan_jobs
    ADD CONSTRAINT hunyuan_jobs_pkey PRIMARY KEY (id);
ALTER TABLE ONLY public.hunyuan_lanes
    ADD CONSTRAINT hunyuan_lanes_pkey PRIMARY KEY (owner, priority);
ALTER TABLE ONLY public.hunyuan_passage
    ADD CONSTRAINT hunyuan_passage_pkey PRIMARY KEY (id);
ALTER TABLE ONLY public.hunyuan_queue
    ADD CONSTRAINT hunyuan_queue_pkey PRIMARY KEY (owner, priority, stretch, model);
ALTER TABLE ONLY public.hunyuan_schema
    ADD CONSTRAINT hunyuan_schema_pkey PRIMARY KEY (version);
ALTER TABLE ONLY public.hunyuan_secrets
    ADD CONSTRAINT hunyuan_secrets_pkey PRIMARY KEY (name);
ALTER TABLE ONLY public.hunyuan_submissions
    ADD CONSTRAINT hunyuan_submissions_pkey PRIMARY KEY (key);
ALTER TABLE ONLY public.hunyuan_workers
    ADD CONSTRAINT hunyuan_workers_pkey PRIMARY KEY (executor_id);
CREATE INDEX hunyuan_deliveries_job ON public.hunyuan_deliveries USING btree (job_id);
CREATE INDEX hunyuan_deliveries_next ON public.hunyuan_deliveries USING btree (next_attempt_at, owner, receiver);
CREATE INDEX hunyuan_events_job ON public.hunyuan_events USING btree (job_id, number);
CREATE INDEX hunyuan_jobs_expiry ON public.hunyuan_jobs USING btree (expires_at);
CREATE INDEX hunyuan_jobs_lane ON public.hunyuan_jobs USING btree (state, stage, owner, priority, turn, id);
CREATE INDEX hunyuan_jobs_of_owner ON public.hunyuan_jobs USING btree (owner, id);
CREATE INDEX hunyuan_jobs_of_owner_state ON public.hunyuan_jobs USING btree (owner, state, id);
CREATE INDEX hunyuan_jobs_state ON public.hunyuan_jobs USING btree (state, id);
CREATE INDEX hunyuan_submissions_job ON public.hunyuan_submissions USING btree (job_id);
CREATE TRIGGER hunyuan_queue_moved AFTER INSERT OR DELETE OR UPDATE OF state, stage, turn ON public.hunyuan_jobs FOR EACH ROW EXECUTE FUNCTION public.hunyuan_sum_queue();
ALTER TABLE ONLY public.hunyuan_deliveries
    ADD CONSTRAINT hunyuan_deliveries_job_id_fkey FOREIGN KEY (job_id) REFERENCES public.hunyuan_jobs(id) ON DELETE CASCADE;
ALTER TABLE ONLY public.hunyuan_events
    ADD CONSTRAINT hunyuan_events_job_id_fkey FOREIGN KEY (job_id) REFERENCES public.hunyuan_jobs(id) ON DELETE CASCADE;
ALTER TABLE ONLY public.hunyuan_submissions
    ADD CONSTRAINT hunyuan_submissions_job_id_fkey FOREIGN KEY (job_id) REFERENCES public.hunyuan_jobs(id) ON DELETE CASCADE;

