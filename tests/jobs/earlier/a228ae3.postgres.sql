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
INSERT INTO public.hunyuan_deliveries VALUES ('18ec71bed11722b3797939cca4c4-1-completed', '18ec71bed11722b3797939cca4c4', 'completed', 3, 'ana', '127.0.0.1:9', '{"id": "18ec71bed11722b3797939cca4c4", "owner": "ana", "state": "completed", "model": "demo", "params": {"prompt": "completed", "negative_prompt": null, "model": "demo", "width": 64, "height": 64, "num_frames": 1, "fps": 15, "num_inference_steps": 5, "seed": 1, "guidance_scale": 6.0, "true_cfg_scale": 1.0, "flow_shift": 5.0, "step_cache": "balanced"}, "metadata": {}, "priority": 10, "turn": 1, "remixed_from": null, "seconds": null, "webhook_url": "http://127.0.0.1:9/hook?token=1", "webhook_events": ["started", "completed", "failed", "canceled"], "webhook_base": "", "created_at": 1795935415779, "started_at": 1795935415835, "completed_at": 1795935415875, "expires_at": 4000000000000, "run": 1, "executor_id": null, "attempts": 1, "failed_starts": 0, "resumed_from_step": null, "stage": "publishing", "step": 5, "part": 0, "parts": 1, "progressed_at": 1795935415873, "has_preview": false, "draft_steps": null, "has_draft": false, "pausing": false, "warnings": null, "error_code": null, "error_message": null, "clips": 1.0, "evaluations": 3.0, "denoise_flops": 215875584.0, "attention_flops": 3538944.0, "decode_flops": 286720000.0, "pixels": 4096.0}', 'pending', false, 0, NULL, NULL, 1795935415883, 1795935415883, NULL);
INSERT INTO public.hunyuan_deliveries VALUES ('18ec71bed74426a8fed020e97cf6-1-failed', '18ec71bed74426a8fed020e97cf6', 'failed', 3, 'ana', '127.0.0.1:9', '{"id": "18ec71bed74426a8fed020e97cf6", "owner": "ana", "state": "failed", "model": "demo", "params": {"prompt": "failed", "negative_prompt": null, "model": "demo", "width": 64, "height": 64, "num_frames": 1, "fps": 15, "num_inference_steps": 5, "seed": 1, "guidance_scale": 6.0, "true_cfg_scale": 1.0, "flow_shift": 5.0, "step_cache": "balanced"}, "metadata": {}, "priority": 10, "turn": 1, "remixed_from": null, "seconds": null, "webhook_url": "http://127.0.0.1:9/hook?token=1", "webhook_events": ["started", "completed", "failed", "canceled"], "webhook_base": "", "created_at": 1795935415883, "started_at": 1795935415897, "completed_at": 1795935415912, "expires_at": 4000000000000, "run": 1, "executor_id": null, "attempts": 1, "failed_starts": 0, "resumed_from_step": null, "stage": "denoising", "step": 2, "part": 0, "parts": 1, "progressed_at": 1795935415911, "has_preview": false, "draft_steps": null, "has_draft": false, "pausing": false, "warnings": null, "error_code": "broken", "error_message": "it broke", "clips": 1.0, "evaluations": 3.0, "denoise_flops": 215875584.0, "attention_flops": 3538944.0, "decode_flops": 286720000.0, "pixels": 4096.0}', 'pending', false, 0, NULL, NULL, 1795935415915, 1795935415915, NULL);
INSERT INTO public.hunyuan_deliveries VALUES ('18ec71bed94e931720af3cf23ee2-1-failed', '18ec71bed94e931720af3cf23ee2', 'failed', 3, 'ana', '127.0.0.1:9', '{"id": "18ec71bed94e931720af3cf23ee2", "owner": "ana", "state": "failed", "model": "demo", "params": {"prompt": "queued again by a retry", "negative_prompt": null, "model": "demo", "width": 64, "height": 64, "num_frames": 1, "fps": 15, "num_inference_steps": 5, "seed": 1, "guidance_scale": 6.0, "true_cfg_scale": 1.0, "flow_shift": 5.0, "step_cache": "balanced"}, "metadata": {}, "priority": 10, "turn": 1, "remixed_from": null, "seconds": null, "webhook_url": "http://127.0.0.1:9/hook?token=1", "webhook_events": ["started", "completed", "failed", "canceled"], "webhook_base": "", "created_at": 1795935415917, "started_at": 1795935415931, "completed_at": 1795935415945, "expires_at": 4000000000000, "run": 1, "executor_id": null, "attempts": 1, "failed_starts": 0, "resumed_from_step": null, "stage": "denoising", "step": 1, "part": 0, "parts": 1, "progressed_at": 1795935415941, "has_preview": false, "draft_steps": null, "has_draft": false, "pausing": false, "warnings": null, "error_code": "broken", "error_message": "it broke", "clips": 1.0, "evaluations": 3.0, "denoise_flops": 215875584.0, "attention_flops": 3538944.0, "decode_flops": 286720000.0, "pixels": 4096.0}', 'pending', false, 0, NULL, NULL, 1795935415947, 1795935415947, NULL);
INSERT INTO public.hunyuan_deliveries VALUES ('18ec71bedc724b165e363a4ec961-started', '18ec71bedc724b165e363a4ec961', 'started', 2, 'ana', '127.0.0.1:9', '{"id": "18ec71bedc724b165e363a4ec961", "owner": "ana", "state": "in_progress", "model": "demo", "params": {"prompt": "paused with its draft", "negative_prompt": null, "model": "demo", "width": 64, "height": 64, "num_frames": 1, "fps": 15, "num_inference_steps": 5, "seed": 1, "guidance_scale": 6.0, "true_cfg_scale": 1.0, "flow_shift": 5.0, "step_cache": "balanced"}, "metadata": {}, "priority": 10, "turn": 1, "remixed_from": null, "seconds": null, "webhook_url": "http://127.0.0.1:9/hook?token=1", "webhook_events": ["started", "completed", "failed", "canceled"], "webhook_base": "", "created_at": 1795935415970, "started_at": 1795935415985, "completed_at": null, "expires_at": null, "run": 1, "executor_id": "vm-9e9a178eb5fa", "attempts": 1, "failed_starts": 1, "resumed_from_step": null, "stage": "loading", "step": 0, "part": 0, "parts": 1, "progressed_at": 1795935415985, "has_preview": false, "draft_steps": 2, "has_draft": false, "pausing": false, "warnings": null, "error_code": null, "error_message": null, "clips": 1.0, "evaluations": 3.0, "denoise_flops": 215875584.0, "attention_flops": 3538944.0, "decode_flops": 286720000.0, "pixels": 4096.0}', 'pending', false, 0, NULL, NULL, 1795935415987, 1795935415987, NULL);
INSERT INTO public.hunyuan_deliveries VALUES ('18ec71bede716659447e9a577fd6-started', '18ec71bede716659447e9a577fd6', 'started', 2, 'ana', '127.0.0.1:9', '{"id": "18ec71bede716659447e9a577fd6", "owner": "ana", "state": "in_progress", "model": "demo", "params": {"prompt": "canceled while it was rendered", "negative_prompt": null, "model": "demo", "width": 64, "height": 64, "num_frames": 1, "fps": 15, "num_inference_steps": 5, "seed": 1, "guidance_scale": 6.0, "true_cfg_scale": 1.0, "flow_shift": 5.0, "step_cache": "balanced"}, "metadata": {}, "priority": 10, "turn": 1, "remixed_from": null, "seconds": null, "webhook_url": "http://127.0.0.1:9/hook?token=1", "webhook_events": ["started", "completed", "failed", "canceled"], "webhook_base": "", "created_at": 1795935416003, "started_at": 1795935416019, "completed_at": null, "expires_at": null, "run": 1, "executor_id": "vm-9e9a178eb5fa", "attempts": 1, "failed_starts": 1, "resumed_from_step": null, "stage": "loading", "step": 0, "part": 0, "parts": 1, "progressed_at": 1795935416019, "has_preview": false, "draft_steps": null, "has_draft": false, "pausing": false, "warnings": null, "error_code": null, "error_message": null, "clips": 1.0, "evaluations": 3.0, "denoise_flops": 215875584.0, "attention_flops": 3538944.0, "decode_flops": 286720000.0, "pixels": 4096.0}', 'pending', false, 0, NULL, NULL, 1795935416022, 1795935416022, NULL);
INSERT INTO public.hunyuan_deliveries VALUES ('18ec71bede716659447e9a577fd6-1-canceled', '18ec71bede716659447e9a577fd6', 'canceled', 3, 'ana', '127.0.0.1:9', '{"id": "18ec71bede716659447e9a577fd6", "owner": "ana", "state": "canceled", "model": "demo", "params": {"prompt": "canceled while it was rendered", "negative_prompt": null, "model": "demo", "width": 64, "height": 64, "num_frames": 1, "fps": 15, "num_inference_steps": 5, "seed": 1, "guidance_scale": 6.0, "true_cfg_scale": 1.0, "flow_shift": 5.0, "step_cache": "balanced"}, "metadata": {}, "priority": 10, "turn": 1, "remixed_from": null, "seconds": null, "webhook_url": "http://127.0.0.1:9/hook?token=1", "webhook_events": ["started", "completed", "failed", "canceled"], "webhook_base": "", "created_at": 1795935416003, "started_at": 1795935416019, "completed_at": 1795935416034, "expires_at": 5395935416038, "run": 1, "executor_id": "vm-9e9a178eb5fa", "attempts": 1, "failed_starts": 0, "resumed_from_step": null, "stage": "denoising", "step": 3, "part": 0, "parts": 1, "progressed_at": 1795935416032, "has_preview": false, "draft_steps": null, "has_draft": false, "pausing": false, "warnings": null, "error_code": null, "error_message": null, "clips": 1.0, "evaluations": 3.0, "denoise_flops": 215875584.0, "attention_flops": 3538944.0, "decode_flops": 286720000.0, "pixels": 4096.0}', 'pending', false, 0, NULL, NULL, 1795935416043, 1795935416043, NULL);
INSERT INTO public.hunyuan_deliveries VALUES ('18ec71bed74426a8fed020e97cf6-started', '18ec71bed74426a8fed020e97cf6', 'started', 2, 'ana', '127.0.0.1:9', '{"id": "18ec71bed74426a8fed020e97cf6", "owner": "ana", "state": "in_progress", "model": "demo", "params": {"prompt": "failed", "negative_prompt": null, "model": "demo", "width": 64, "height": 64, "num_frames": 1, "fps": 15, "num_inference_steps": 5, "seed": 1, "guidance_scale": 6.0, "true_cfg_scale": 1.0, "flow_shift": 5.0, "step_cache": "balanced"}, "metadata": {}, "priority": 10, "turn": 1, "remixed_from": null, "seconds": null, "webhook_url": "http://127.0.0.1:9/hook?token=1", "webhook_events": ["started", "completed", "failed", "canceled"], "webhook_base": "", "created_at": 1795935415883, "started_at": 1795935415897, "completed_at": null, "expires_at": null, "run": 1, "executor_id": "vm-9e9a178eb5fa", "attempts": 1, "failed_starts": 1, "resumed_from_step": null, "stage": "loading", "step": 0, "part": 0, "parts": 1, "progressed_at": 1795935415897, "has_preview": false, "draft_steps": null, "has_draft": false, "pausing": false, "warnings": null, "error_code": null, "error_message": null, "clips": 1.0, "evaluations": 3.0, "denoise_flops": 215875584.0, "attention_flops": 3538944.0, "decode_flops": 286720000.0, "pixels": 4096.0}', 'pending', true, 1, NULL, 'no answer in time', 1795935415902, 1795935421074, 1795935416062);
INSERT INTO public.hunyuan_deliveries VALUES ('18ec71bed94e931720af3cf23ee2-started', '18ec71bed94e931720af3cf23ee2', 'started', 2, 'ana', '127.0.0.1:9', '{"id": "18ec71bed94e931720af3cf23ee2", "owner": "ana", "state": "in_progress", "model": "demo", "params": {"prompt": "queued again by a retry", "negative_prompt": null, "model": "demo", "width": 64, "height": 64, "num_frames": 1, "fps": 15, "num_inference_steps": 5, "seed": 1, "guidance_scale": 6.0, "true_cfg_scale": 1.0, "flow_shift": 5.0, "step_cache": "balanced"}, "metadata": {}, "priority": 10, "turn": 1, "remixed_from": null, "seconds": null, "webhook_url": "http://127.0.0.1:9/hook?token=1", "webhook_events": ["started", "completed", "failed", "canceled"], "webhook_base": "", "created_at": 1795935415917, "started_at": 1795935415931, "completed_at": null, "expires_at": null, "run": 1, "executor_id": "vm-9e9a178eb5fa", "attempts": 1, "failed_starts": 1, "resumed_from_step": null, "stage": "loading", "step": 0, "part": 0, "parts": 1, "progressed_at": 1795935415931, "has_preview": false, "draft_steps": null, "has_draft": false, "pausing": false, "warnings": null, "error_code": null, "error_message": null, "clips": 1.0, "evaluations": 3.0, "denoise_flops": 215875584.0, "attention_flops": 3538944.0, "decode_flops": 286720000.0, "pixels": 4096.0}', 'failed', false, 1, 410, NULL, 1795935415935, NULL, 1795935416066);
INSERT INTO public.hunyuan_deliveries VALUES ('18ec71bed11722b3797939cca4c4-started', '18ec71bed11722b3797939cca4c4', 'started', 2, 'ana', '127.0.0.1:9', '{"id": "18ec71bed11722b3797939cca4c4", "owner": "ana", "state": "in_progress", "model": "demo", "params": {"prompt": "completed", "negative_prompt": null, "model": "demo", "width": 64, "height": 64, "num_frames": 1, "fps": 15, "num_inference_steps": 5, "seed": 1, "guidance_scale": 6.0, "true_cfg_scale": 1.0, "flow_shift": 5.0, "step_cache": "balanced"}, "metadata": {}, "priority": 10, "turn": 1, "remixed_from": null, "seconds": null, "webhook_url": "http://127.0.0.1:9/hook?token=1", "webhook_events": ["started", "completed", "failed", "canceled"], "webhook_base": "", "created_at": 1795935415779, "started_at": 1795935415835, "completed_at": null, "expires_at": null, "run": 1, "executor_id": "vm-9e9a178eb5fa", "attempts": 1, "failed_starts": 1, "resumed_from_step": null, "stage": "loading", "step": 0, "part": 0, "parts": 1, "progressed_at": 1795935415835, "has_preview": false, "draft_steps": null, "has_draft": false, "pausing": false, "warnings": null, "error_code": null, "error_message": null, "clips": 1.0, "evaluations": 3.0, "denoise_flops": 215875584.0, "attention_flops": 3538944.0, "decode_flops": 286720000.0, "pixels": 4096.0}', 'delivered', false, 1, 204, NULL, 1795935415844, NULL, 1795935416054);
INSERT INTO public.hunyuan_deliveries VALUES ('18ec71bee2b2b11886572dea7f48-started', '18ec71bee2b2b11886572dea7f48', 'started', 2, 'ana', '127.0.0.1:9', '{"id": "18ec71bee2b2b11886572dea7f48", "owner": "ana", "state": "in_progress", "model": "demo", "params": {"prompt": "pausing at step 1", "negative_prompt": null, "model": "demo", "width": 64, "height": 64, "num_frames": 1, "fps": 15, "num_inference_steps": 5, "seed": 1, "guidance_scale": 6.0, "true_cfg_scale": 1.0, "flow_shift": 5.0, "step_cache": "balanced"}, "metadata": {}, "priority": 10, "turn": 1, "remixed_from": null, "seconds": null, "webhook_url": "http://127.0.0.1:9/hook?token=1", "webhook_events": ["started", "completed", "failed", "canceled"], "webhook_base": "", "created_at": 1795935416075, "started_at": 1795935416088, "completed_at": null, "expires_at": null, "run": 1, "executor_id": "vm-9e9a178eb5fa", "attempts": 1, "failed_starts": 1, "resumed_from_step": null, "stage": "loading", "step": 0, "part": 0, "parts": 1, "progressed_at": 1795935416088, "has_preview": false, "draft_steps": null, "has_draft": false, "pausing": false, "warnings": null, "error_code": null, "error_message": null, "clips": 1.0, "evaluations": 3.0, "denoise_flops": 215875584.0, "attention_flops": 3538944.0, "decode_flops": 286720000.0, "pixels": 4096.0}', 'pending', false, 0, NULL, NULL, 1795935416095, 1795935416095, NULL);
INSERT INTO public.hunyuan_deliveries VALUES ('18ec71bee47f71b6534eac1d66d5-started', '18ec71bee47f71b6534eac1d66d5', 'started', 2, '', '127.0.0.1:9', '{"id": "18ec71bee47f71b6534eac1d66d5", "owner": "", "state": "in_progress", "model": "demo", "params": {"prompt": "running at step 3", "negative_prompt": null, "model": "demo", "width": 64, "height": 64, "num_frames": 1, "fps": 15, "num_inference_steps": 5, "seed": 1, "guidance_scale": 6.0, "true_cfg_scale": 1.0, "flow_shift": 5.0, "step_cache": "balanced"}, "metadata": {}, "priority": 10, "turn": 2, "remixed_from": null, "seconds": null, "webhook_url": "http://127.0.0.1:9/hook?token=1", "webhook_events": ["started", "completed", "failed", "canceled"], "webhook_base": "", "created_at": 1795935416105, "started_at": 1795935416120, "completed_at": null, "expires_at": null, "run": 1, "executor_id": "vm-2f7b1e1a975f", "attempts": 1, "failed_starts": 1, "resumed_from_step": null, "stage": "loading", "step": 0, "part": 0, "parts": 1, "progressed_at": 1795935416120, "has_preview": false, "draft_steps": null, "has_draft": false, "pausing": false, "warnings": null, "error_code": null, "error_message": null, "clips": 1.0, "evaluations": 3.0, "denoise_flops": 215875584.0, "attention_flops": 3538944.0, "decode_flops": 286720000.0, "pixels": 4096.0}', 'pending', false, 0, NULL, NULL, 1795935416125, 1795935416125, NULL);
INSERT INTO public.hunyuan_deliveries VALUES ('18ec71bee7eb54dbaadc5f741dec-1-canceled', '18ec71bee7eb54dbaadc5f741dec', 'canceled', 3, 'ana', '127.0.0.1:9', '{"id": "18ec71bee7eb54dbaadc5f741dec", "owner": "ana", "state": "canceled", "model": "demo", "params": {"prompt": "canceled in the queue", "negative_prompt": null, "model": "demo", "width": 64, "height": 64, "num_frames": 1, "fps": 15, "num_inference_steps": 5, "seed": 1, "guidance_scale": 6.0, "true_cfg_scale": 1.0, "flow_shift": 5.0, "step_cache": "balanced"}, "metadata": {}, "priority": 0, "turn": 4, "remixed_from": null, "seconds": null, "webhook_url": "http://127.0.0.1:9/hook?token=1", "webhook_events": ["started", "completed", "failed", "canceled"], "webhook_base": "", "created_at": 1795935416162, "started_at": null, "completed_at": 1795935416172, "expires_at": 5395935416173, "run": 1, "executor_id": null, "attempts": 0, "failed_starts": 0, "resumed_from_step": null, "stage": "queued", "step": 0, "part": 0, "parts": 1, "progressed_at": null, "has_preview": false, "draft_steps": null, "has_draft": false, "pausing": false, "warnings": null, "error_code": null, "error_message": null, "clips": 1.0, "evaluations": 3.0, "denoise_flops": 215875584.0, "attention_flops": 3538944.0, "decode_flops": 286720000.0, "pixels": 4096.0}', 'pending', false, 0, NULL, NULL, 1795935416179, 1795935416179, NULL);
INSERT INTO public.hunyuan_deliveries VALUES ('18ec71bee8e75813eca4342a03f5-1-canceled', '18ec71bee8e75813eca4342a03f5', 'canceled', 3, 'ana', '127.0.0.1:9', '{"id": "18ec71bee8e75813eca4342a03f5", "owner": "ana", "state": "canceled", "model": "demo", "params": {"prompt": "canceled while it was paused", "negative_prompt": null, "model": "demo", "width": 64, "height": 64, "num_frames": 1, "fps": 15, "num_inference_steps": 5, "seed": 1, "guidance_scale": 6.0, "true_cfg_scale": 1.0, "flow_shift": 5.0, "step_cache": "balanced"}, "metadata": {}, "priority": 0, "turn": 4, "remixed_from": null, "seconds": null, "webhook_url": "http://127.0.0.1:9/hook?token=1", "webhook_events": ["started", "completed", "failed", "canceled"], "webhook_base": "", "created_at": 1795935416179, "started_at": null, "completed_at": 1795935416196, "expires_at": 5395935416197, "run": 1, "executor_id": null, "attempts": 0, "failed_starts": 0, "resumed_from_step": null, "stage": "paused", "step": 0, "part": 0, "parts": 1, "progressed_at": null, "has_preview": false, "draft_steps": null, "has_draft": false, "pausing": false, "warnings": null, "error_code": null, "error_message": null, "clips": 1.0, "evaluations": 3.0, "denoise_flops": 215875584.0, "attention_flops": 3538944.0, "decode_flops": 286720000.0, "pixels": 4096.0}', 'pending', false, 0, NULL, NULL, 1795935416199, 1795935416199, NULL);
INSERT INTO public.hunyuan_events VALUES (1, '18ec71bed11722b3797939cca4c4', 1, 'state', 'pending', 'queued', 0, 0, 1, 1795935415801);
INSERT INTO public.hunyuan_events VALUES (2, '18ec71bed11722b3797939cca4c4', 1, 'state', 'in_progress', 'loading', 0, 0, 1, 1795935415841);
INSERT INTO public.hunyuan_events VALUES (3, '18ec71bed11722b3797939cca4c4', 1, 'progress', 'in_progress', 'encoding', 0, 0, 1, 1795935415851);
INSERT INTO public.hunyuan_events VALUES (4, '18ec71bed11722b3797939cca4c4', 1, 'progress', 'in_progress', 'denoising', 0, 0, 1, 1795935415852);
INSERT INTO public.hunyuan_events VALUES (5, '18ec71bed11722b3797939cca4c4', 1, 'progress', 'in_progress', 'denoising', 1, 0, 1, 1795935415858);
INSERT INTO public.hunyuan_events VALUES (6, '18ec71bed11722b3797939cca4c4', 1, 'progress', 'in_progress', 'denoising', 2, 0, 1, 1795935415860);
INSERT INTO public.hunyuan_events VALUES (7, '18ec71bed11722b3797939cca4c4', 1, 'progress', 'in_progress', 'denoising', 3, 0, 1, 1795935415861);
INSERT INTO public.hunyuan_events VALUES (8, '18ec71bed11722b3797939cca4c4', 1, 'progress', 'in_progress', 'denoising', 4, 0, 1, 1795935415866);
INSERT INTO public.hunyuan_events VALUES (9, '18ec71bed11722b3797939cca4c4', 1, 'progress', 'in_progress', 'denoising', 5, 0, 1, 1795935415867);
INSERT INTO public.hunyuan_events VALUES (10, '18ec71bed11722b3797939cca4c4', 1, 'progress', 'in_progress', 'decoding', 5, 0, 1, 1795935415868);
INSERT INTO public.hunyuan_events VALUES (11, '18ec71bed11722b3797939cca4c4', 1, 'progress', 'in_progress', 'publishing', 5, 0, 1, 1795935415874);
INSERT INTO public.hunyuan_events VALUES (12, '18ec71bed11722b3797939cca4c4', 1, 'state', 'completed', 'publishing', 5, 0, 1, 1795935415881);
INSERT INTO public.hunyuan_events VALUES (13, '18ec71bed74426a8fed020e97cf6', 1, 'state', 'pending', 'queued', 0, 0, 1, 1795935415885);
INSERT INTO public.hunyuan_events VALUES (14, '18ec71bed74426a8fed020e97cf6', 1, 'state', 'in_progress', 'loading', 0, 0, 1, 1795935415898);
INSERT INTO public.hunyuan_events VALUES (15, '18ec71bed74426a8fed020e97cf6', 1, 'progress', 'in_progress', 'encoding', 0, 0, 1, 1795935415903);
INSERT INTO public.hunyuan_events VALUES (16, '18ec71bed74426a8fed020e97cf6', 1, 'progress', 'in_progress', 'denoising', 0, 0, 1, 1795935415910);
INSERT INTO public.hunyuan_events VALUES (17, '18ec71bed74426a8fed020e97cf6', 1, 'progress', 'in_progress', 'denoising', 1, 0, 1, 1795935415911);
INSERT INTO public.hunyuan_events VALUES (18, '18ec71bed74426a8fed020e97cf6', 1, 'progress', 'in_progress', 'denoising', 2, 0, 1, 1795935415912);
INSERT INTO public.hunyuan_events VALUES (19, '18ec71bed74426a8fed020e97cf6', 1, 'state', 'failed', 'denoising', 2, 0, 1, 1795935415914);
INSERT INTO public.hunyuan_events VALUES (20, '18ec71bed94e931720af3cf23ee2', 1, 'state', 'pending', 'queued', 0, 0, 1, 1795935415922);
INSERT INTO public.hunyuan_events VALUES (21, '18ec71bed94e931720af3cf23ee2', 1, 'state', 'in_progress', 'loading', 0, 0, 1, 1795935415933);
INSERT INTO public.hunyuan_events VALUES (22, '18ec71bed94e931720af3cf23ee2', 1, 'progress', 'in_progress', 'encoding', 0, 0, 1, 1795935415938);
INSERT INTO public.hunyuan_events VALUES (23, '18ec71bed94e931720af3cf23ee2', 1, 'progress', 'in_progress', 'denoising', 0, 0, 1, 1795935415939);
INSERT INTO public.hunyuan_events VALUES (24, '18ec71bed94e931720af3cf23ee2', 1, 'progress', 'in_progress', 'denoising', 1, 0, 1, 1795935415942);
INSERT INTO public.hunyuan_events VALUES (25, '18ec71bed94e931720af3cf23ee2', 1, 'state', 'failed', 'denoising', 1, 0, 1, 1795935415946);
INSERT INTO public.hunyuan_events VALUES (26, '18ec71bed94e931720af3cf23ee2', 2, 'state', 'pending', 'queued', 1, 0, 1, 1795935415956);
INSERT INTO public.hunyuan_events VALUES (27, '18ec71bed94e931720af3cf23ee2', 2, 'state', 'pending', 'paused', 1, 0, 1, 1795935415966);
INSERT INTO public.hunyuan_events VALUES (28, '18ec71bedc724b165e363a4ec961', 1, 'state', 'pending', 'queued', 0, 0, 1, 1795935415974);
INSERT INTO public.hunyuan_events VALUES (29, '18ec71bedc724b165e363a4ec961', 1, 'state', 'in_progress', 'loading', 0, 0, 1, 1795935415986);
INSERT INTO public.hunyuan_events VALUES (30, '18ec71bedc724b165e363a4ec961', 1, 'progress', 'in_progress', 'encoding', 0, 0, 1, 1795935415990);
INSERT INTO public.hunyuan_events VALUES (31, '18ec71bedc724b165e363a4ec961', 1, 'progress', 'in_progress', 'denoising', 0, 0, 1, 1795935415994);
INSERT INTO public.hunyuan_events VALUES (32, '18ec71bedc724b165e363a4ec961', 1, 'progress', 'in_progress', 'denoising', 1, 0, 1, 1795935415995);
INSERT INTO public.hunyuan_events VALUES (33, '18ec71bedc724b165e363a4ec961', 1, 'progress', 'in_progress', 'denoising', 2, 0, 1, 1795935415996);
INSERT INTO public.hunyuan_events VALUES (34, '18ec71bedc724b165e363a4ec961', 1, 'state', 'pending', 'paused', 2, 0, 1, 1795935416003);
INSERT INTO public.hunyuan_events VALUES (35, '18ec71bede716659447e9a577fd6', 1, 'state', 'pending', 'queued', 0, 0, 1, 1795935416009);
INSERT INTO public.hunyuan_events VALUES (36, '18ec71bede716659447e9a577fd6', 1, 'state', 'in_progress', 'loading', 0, 0, 1, 1795935416020);
INSERT INTO public.hunyuan_events VALUES (37, '18ec71bede716659447e9a577fd6', 1, 'progress', 'in_progress', 'encoding', 0, 0, 1, 1795935416024);
INSERT INTO public.hunyuan_events VALUES (38, '18ec71bede716659447e9a577fd6', 1, 'progress', 'in_progress', 'denoising', 0, 0, 1, 1795935416029);
INSERT INTO public.hunyuan_events VALUES (39, '18ec71bede716659447e9a577fd6', 1, 'progress', 'in_progress', 'denoising', 1, 0, 1, 1795935416030);
INSERT INTO public.hunyuan_events VALUES (40, '18ec71bede716659447e9a577fd6', 1, 'progress', 'in_progress', 'denoising', 2, 0, 1, 1795935416031);
INSERT INTO public.hunyuan_events VALUES (41, '18ec71bede716659447e9a577fd6', 1, 'progress', 'in_progress', 'denoising', 3, 0, 1, 1795935416032);
INSERT INTO public.hunyuan_events VALUES (42, '18ec71bede716659447e9a577fd6', 1, 'state', 'canceled', 'denoising', 3, 0, 1, 1795935416041);
INSERT INTO public.hunyuan_events VALUES (43, '18ec71bee2b2b11886572dea7f48', 1, 'state', 'pending', 'queued', 0, 0, 1, 1795935416079);
INSERT INTO public.hunyuan_events VALUES (44, '18ec71bee2b2b11886572dea7f48', 1, 'state', 'in_progress', 'loading', 0, 0, 1, 1795935416093);
INSERT INTO public.hunyuan_events VALUES (45, '18ec71bee2b2b11886572dea7f48', 1, 'progress', 'in_progress', 'encoding', 0, 0, 1, 1795935416096);
INSERT INTO public.hunyuan_events VALUES (46, '18ec71bee2b2b11886572dea7f48', 1, 'progress', 'in_progress', 'denoising', 0, 0, 1, 1795935416097);
INSERT INTO public.hunyuan_events VALUES (47, '18ec71bee2b2b11886572dea7f48', 1, 'progress', 'in_progress', 'denoising', 1, 0, 1, 1795935416102);
INSERT INTO public.hunyuan_events VALUES (48, '18ec71bee2b2b11886572dea7f48', 1, 'state', 'in_progress', 'denoising', 1, 0, 1, 1795935416103);
INSERT INTO public.hunyuan_events VALUES (49, '18ec71bee47f71b6534eac1d66d5', 1, 'state', 'pending', 'queued', 0, 0, 1, 1795935416111);
INSERT INTO public.hunyuan_events VALUES (50, '18ec71bee47f71b6534eac1d66d5', 1, 'state', 'in_progress', 'loading', 0, 0, 1, 1795935416123);
INSERT INTO public.hunyuan_events VALUES (51, '18ec71bee47f71b6534eac1d66d5', 1, 'progress', 'in_progress', 'denoising', 0, 0, 1, 1795935416126);
INSERT INTO public.hunyuan_events VALUES (52, '18ec71bee47f71b6534eac1d66d5', 1, 'progress', 'in_progress', 'denoising', 1, 0, 1, 1795935416127);
INSERT INTO public.hunyuan_events VALUES (53, '18ec71bee47f71b6534eac1d66d5', 1, 'progress', 'in_progress', 'denoising', 2, 0, 1, 1795935416130);
INSERT INTO public.hunyuan_events VALUES (54, '18ec71bee47f71b6534eac1d66d5', 1, 'progress', 'in_progress', 'denoising', 3, 0, 1, 1795935416131);
INSERT INTO public.hunyuan_events VALUES (55, '18ec71bed94e931720af3cf23ee2', 3, 'state', 'pending', 'queued', 1, 0, 1, 1795935416137);
INSERT INTO public.hunyuan_events VALUES (56, '18ec71bee6e429580f191f286304', 1, 'state', 'pending', 'queued', 0, 0, 1, 1795935416147);
INSERT INTO public.hunyuan_events VALUES (57, '18ec71bee6e429580f191f286304', 1, 'state', 'pending', 'paused', 0, 0, 1, 1795935416161);
INSERT INTO public.hunyuan_events VALUES (58, '18ec71bee7eb54dbaadc5f741dec', 1, 'state', 'pending', 'queued', 0, 0, 1, 1795935416164);
INSERT INTO public.hunyuan_events VALUES (59, '18ec71bee7eb54dbaadc5f741dec', 1, 'state', 'canceled', 'queued', 0, 0, 1, 1795935416177);
INSERT INTO public.hunyuan_events VALUES (60, '18ec71bee8e75813eca4342a03f5', 1, 'state', 'pending', 'queued', 0, 0, 1, 1795935416184);
INSERT INTO public.hunyuan_events VALUES (61, '18ec71bee8e75813eca4342a03f5', 1, 'state', 'pending', 'paused', 0, 0, 1, 1795935416191);
INSERT INTO public.hunyuan_events VALUES (62, '18ec71bee8e75813eca4342a03f5', 1, 'state', 'canceled', 'paused', 0, 0, 1, 1795935416197);
INSERT INTO public.hunyuan_events VALUES (63, '18ec71beea1ac25514b6fba960fc', 1, 'state', 'pending', 'queued', 0, 0, 1, 1795935416205);
INSERT INTO public.hunyuan_events VALUES (64, '18ec71beead5f201ca1701310d2e', 1, 'state', 'pending', 'queued', 0, 0, 1, 1795935416218);
INSERT INTO public.hunyuan_events VALUES (65, '18ec71beebb21ed2313ce1798cbe', 1, 'state', 'pending', 'queued', 0, 0, 1, 1795935416233);
INSERT INTO public.hunyuan_events VALUES (66, '18ec71beec587e95e0846bf71fdc', 1, 'state', 'pending', 'queued', 0, 0, 1, 1795935416242);
INSERT INTO public.hunyuan_jobs VALUES ('18ec71bed74426a8fed020e97cf6', 'ana', 'failed', 'demo', '{"prompt": "failed", "negative_prompt": null, "model": "demo", "width": 64, "height": 64, "num_frames": 1, "fps": 15, "num_inference_steps": 5, "seed": 1, "guidance_scale": 6.0, "true_cfg_scale": 1.0, "flow_shift": 5.0, "step_cache": "balanced"}', '{}', 10, 1, NULL, NULL, 'http://127.0.0.1:9/hook?token=1', '["started", "completed", "failed", "canceled"]', '', 1795935415883, 1795935415897, 1795935415912, 4000000000000, 1, NULL, 1, 0, NULL, 'denoising', 2, 0, 1, 1795935415911, false, NULL, false, false, NULL, 'broken', 'it broke', 1, 3, 215875584, 3538944, 286720000, 4096);
INSERT INTO public.hunyuan_jobs VALUES ('18ec71bed11722b3797939cca4c4', 'ana', 'completed', 'demo', '{"prompt": "completed", "negative_prompt": null, "model": "demo", "width": 64, "height": 64, "num_frames": 1, "fps": 15, "num_inference_steps": 5, "seed": 1, "guidance_scale": 6.0, "true_cfg_scale": 1.0, "flow_shift": 5.0, "step_cache": "balanced"}', '{}', 10, 1, NULL, NULL, 'http://127.0.0.1:9/hook?token=1', '["started", "completed", "failed", "canceled"]', '', 1795935415779, 1795935415835, 1795935415875, 4000000000000, 1, NULL, 1, 0, NULL, 'publishing', 5, 0, 1, 1795935415873, false, NULL, false, false, NULL, NULL, NULL, 1, 3, 215875584, 3538944, 286720000, 4096);
INSERT INTO public.hunyuan_jobs VALUES ('18ec71bedc724b165e363a4ec961', 'ana', 'pending', 'demo', '{"prompt": "paused with its draft", "negative_prompt": null, "model": "demo", "width": 64, "height": 64, "num_frames": 1, "fps": 15, "num_inference_steps": 5, "seed": 1, "guidance_scale": 6.0, "true_cfg_scale": 1.0, "flow_shift": 5.0, "step_cache": "balanced"}', '{}', 10, 1, NULL, NULL, 'http://127.0.0.1:9/hook?token=1', '["started", "completed", "failed", "canceled"]', '', 1795935415970, 1795935415985, NULL, NULL, 1, NULL, 1, 0, NULL, 'paused', 2, 0, 1, 1795935415995, false, 2, true, false, NULL, NULL, NULL, 1, 3, 215875584, 3538944, 286720000, 4096);
INSERT INTO public.hunyuan_jobs VALUES ('18ec71bede716659447e9a577fd6', 'ana', 'canceled', 'demo', '{"prompt": "canceled while it was rendered", "negative_prompt": null, "model": "demo", "width": 64, "height": 64, "num_frames": 1, "fps": 15, "num_inference_steps": 5, "seed": 1, "guidance_scale": 6.0, "true_cfg_scale": 1.0, "flow_shift": 5.0, "step_cache": "balanced"}', '{}', 10, 1, NULL, NULL, 'http://127.0.0.1:9/hook?token=1', '["started", "completed", "failed", "canceled"]', '', 1795935416003, 1795935416019, 1795935416034, 5395935416038, 1, 'vm-9e9a178eb5fa', 1, 0, NULL, 'denoising', 3, 0, 1, 1795935416032, false, NULL, false, false, NULL, NULL, NULL, 1, 3, 215875584, 3538944, 286720000, 4096);
INSERT INTO public.hunyuan_jobs VALUES ('18ec71bed94e931720af3cf23ee2', 'ana', 'pending', 'demo', '{"prompt": "queued again by a retry", "negative_prompt": null, "model": "demo", "width": 64, "height": 64, "num_frames": 1, "fps": 15, "num_inference_steps": 5, "seed": 1, "guidance_scale": 6.0, "true_cfg_scale": 1.0, "flow_shift": 5.0, "step_cache": "balanced"}', '{}', 10, 3, NULL, NULL, 'http://127.0.0.1:9/hook?token=1', '["started", "completed", "failed", "canceled"]', '', 1795935415917, 1795935415931, NULL, NULL, 3, NULL, 1, 0, NULL, 'queued', 1, 0, 1, NULL, false, NULL, false, false, NULL, NULL, NULL, 1, 3, 215875584, 3538944, 286720000, 4096);
INSERT INTO public.hunyuan_jobs VALUES ('18ec71bee2b2b11886572dea7f48', 'ana', 'in_progress', 'demo', '{"prompt": "pausing at step 1", "negative_prompt": null, "model": "demo", "width": 64, "height": 64, "num_frames": 1, "fps": 15, "num_inference_steps": 5, "seed": 1, "guidance_scale": 6.0, "true_cfg_scale": 1.0, "flow_shift": 5.0, "step_cache": "balanced"}', '{}', 10, 1, NULL, NULL, 'http://127.0.0.1:9/hook?token=1', '["started", "completed", "failed", "canceled"]', '', 1795935416075, 1795935416088, NULL, NULL, 1, 'vm-9e9a178eb5fa', 1, 0, NULL, 'denoising', 1, 0, 1, 1795935416101, false, NULL, false, true, NULL, NULL, NULL, 1, 3, 215875584, 3538944, 286720000, 4096);
INSERT INTO public.hunyuan_jobs VALUES ('18ec71bee47f71b6534eac1d66d5', '', 'in_progress', 'demo', '{"prompt": "running at step 3", "negative_prompt": null, "model": "demo", "width": 64, "height": 64, "num_frames": 1, "fps": 15, "num_inference_steps": 5, "seed": 1, "guidance_scale": 6.0, "true_cfg_scale": 1.0, "flow_shift": 5.0, "step_cache": "balanced"}', '{}', 10, 2, NULL, NULL, 'http://127.0.0.1:9/hook?token=1', '["started", "completed", "failed", "canceled"]', '', 1795935416105, 1795935416120, NULL, NULL, 1, 'vm-2f7b1e1a975f', 1, 0, NULL, 'denoising', 3, 0, 1, 1795935416130, false, NULL, false, false, NULL, NULL, NULL, 1, 3, 215875584, 3538944, 286720000, 4096);
INSERT INTO public.hunyuan_jobs VALUES ('18ec71bee6e429580f191f286304', 'ana', 'pending', 'demo', '{"prompt": "paused in the queue", "negative_prompt": null, "model": "demo", "width": 64, "height": 64, "num_frames": 1, "fps": 15, "num_inference_steps": 5, "seed": 1, "guidance_scale": 6.0, "true_cfg_scale": 1.0, "flow_shift": 5.0, "step_cache": "balanced"}', '{}', 0, 4, NULL, NULL, 'http://127.0.0.1:9/hook?token=1', '["started", "completed", "failed", "canceled"]', '', 1795935416145, NULL, NULL, NULL, 1, NULL, 0, 0, NULL, 'paused', 0, 0, 1, NULL, false, NULL, false, false, NULL, NULL, NULL, 1, 3, 215875584, 3538944, 286720000, 4096);
INSERT INTO public.hunyuan_jobs VALUES ('18ec71bee7eb54dbaadc5f741dec', 'ana', 'canceled', 'demo', '{"prompt": "canceled in the queue", "negative_prompt": null, "model": "demo", "width": 64, "height": 64, "num_frames": 1, "fps": 15, "num_inference_steps": 5, "seed": 1, "guidance_scale": 6.0, "true_cfg_scale": 1.0, "flow_shift": 5.0, "step_cache": "balanced"}', '{}', 0, 4, NULL, NULL, 'http://127.0.0.1:9/hook?token=1', '["started", "completed", "failed", "canceled"]', '', 1795935416162, NULL, 1795935416172, 5395935416173, 1, NULL, 0, 0, NULL, 'queued', 0, 0, 1, NULL, false, NULL, false, false, NULL, NULL, NULL, 1, 3, 215875584, 3538944, 286720000, 4096);
INSERT INTO public.hunyuan_jobs VALUES ('18ec71bee8e75813eca4342a03f5', 'ana', 'canceled', 'demo', '{"prompt": "canceled while it was paused", "negative_prompt": null, "model": "demo", "width": 64, "height": 64, "num_frames": 1, "fps": 15, "num_inference_steps": 5, "seed": 1, "guidance_scale": 6.0, "true_cfg_scale": 1.0, "flow_shift": 5.0, "step_cache": "balanced"}', '{}', 0, 4, NULL, NULL, 'http://127.0.0.1:9/hook?token=1', '["started", "completed", "failed", "canceled"]', '', 1795935416179, NULL, 1795935416196, 5395935416197, 1, NULL, 0, 0, NULL, 'paused', 0, 0, 1, NULL, false, NULL, false, false, NULL, NULL, NULL, 1, 3, 215875584, 3538944, 286720000, 4096);
INSERT INTO public.hunyuan_jobs VALUES ('18ec71beea1ac25514b6fba960fc', 'ana', 'pending', 'demo', '{"prompt": "queued", "negative_prompt": null, "model": "demo", "width": 64, "height": 64, "num_frames": 1, "fps": 15, "num_inference_steps": 5, "seed": 1, "guidance_scale": 6.0, "true_cfg_scale": 1.0, "flow_shift": 5.0, "step_cache": "balanced"}', '{"scene": "7"}', 0, 4, NULL, NULL, 'http://127.0.0.1:9/hook?token=1', '["started", "completed", "failed", "canceled"]', '', 1795935416199, NULL, NULL, NULL, 1, NULL, 0, 0, NULL, 'queued', 0, 0, 1, NULL, false, NULL, false, false, NULL, NULL, NULL, 1, 3, 215875584, 3538944, 286720000, 4096);
INSERT INTO public.hunyuan_jobs VALUES ('18ec71beead5f201ca1701310d2e', 'bo', 'pending', 'demo', '{"prompt": "queued", "negative_prompt": null, "model": "demo", "width": 64, "height": 64, "num_frames": 1, "fps": 15, "num_inference_steps": 5, "seed": 1, "guidance_scale": 6.0, "true_cfg_scale": 1.0, "flow_shift": 5.0, "step_cache": "balanced"}', '{}', 0, 3, NULL, NULL, 'http://127.0.0.1:9/hook?token=1', '["started", "completed", "failed", "canceled"]', '', 1795935416211, NULL, NULL, NULL, 1, NULL, 0, 0, NULL, 'queued', 0, 0, 1, NULL, false, NULL, false, false, NULL, NULL, NULL, 1, 3, 215875584, 3538944, 286720000, 4096);
INSERT INTO public.hunyuan_jobs VALUES ('18ec71beebb21ed2313ce1798cbe', 'ana', 'pending', 'demo', '{"prompt": "queued before the others", "negative_prompt": null, "model": "demo", "width": 64, "height": 64, "num_frames": 1, "fps": 15, "num_inference_steps": 5, "seed": 1, "guidance_scale": 6.0, "true_cfg_scale": 1.0, "flow_shift": 5.0, "step_cache": "balanced"}', '{}', 5, 4, NULL, NULL, 'http://127.0.0.1:9/hook?token=1', '["started", "completed", "failed", "canceled"]', '', 1795935416226, NULL, NULL, NULL, 1, NULL, 0, 0, NULL, 'queued', 0, 0, 1, NULL, false, NULL, false, false, NULL, NULL, NULL, 1, 3, 215875584, 3538944, 286720000, 4096);
INSERT INTO public.hunyuan_jobs VALUES ('18ec71beec587e95e0846bf71fdc', 'bo', 'pending', 'demo', '{"prompt": "queued after the others", "negative_prompt": null, "model": "demo", "width": 64, "height": 64, "num_frames": 1, "fps": 15, "num_inference_steps": 5, "seed": 1, "guidance_scale": 6.0, "true_cfg_scale": 1.0, "flow_shift": 5.0, "step_cache": "balanced"}', '{}', -5, 4, NULL, NULL, 'http://127.0.0.1:9/hook?token=1', '["started", "completed", "failed", "canceled"]', '', 1795935416236, NULL, NULL, NULL, 1, NULL, 0, 0, NULL, 'queued', 0, 0, 1, NULL, false, NULL, false, false, NULL, NULL, NULL, 1, 3, 215875584, 3538944, 286720000, 4096);
INSERT INTO public.hunyuan_lanes VALUES ('ana', 0, 1);
INSERT INTO public.hunyuan_queue VALUES ('ana', 10, 0, 'demo', 1, 1, 3, 215875584, 3538944, 286720000, 4096);
INSERT INTO public.hunyuan_queue VALUES ('ana', 0, 0, 'demo', 1, 1, 3, 215875584, 3538944, 286720000, 4096);
INSERT INTO public.hunyuan_queue VALUES ('bo', 0, 0, 'demo', 1, 1, 3, 215875584, 3538944, 286720000, 4096);
INSERT INTO public.hunyuan_queue VALUES ('ana', 5, 0, 'demo', 1, 1, 3, 215875584, 3538944, 286720000, 4096);
INSERT INTO public.hunyuan_queue VALUES ('bo', -5, 0, 'demo', 1, 1, 3, 215875584, 3538944, 286720000, 4096);
INSERT INTO public.hunyuan_submissions VALUES ('ana:key', 'fingerprint', '18ec71beea1ac25514b6fba960fc');
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

